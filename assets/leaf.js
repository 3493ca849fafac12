// Light or dark on a page of its own: the choice that was made in the instrument, else that of the system.

let wanted = null;
try { wanted = localStorage.getItem("unmask-theme"); } catch { /* storage may be switched off: the system's choice stands */ }
const sheet = document.querySelector("link[media]");
if (sheet && wanted) sheet.media = wanted === "dark" ? "all" : "not all";
