// Stands in for the server in an exported file: answers what the player asks for from the data in the file.

(() => {
  const held = JSON.parse(document.getElementById("unmask-run").textContent);
  const reply = (value) => new Response(JSON.stringify(value), { headers: { "Content-Type": "application/json" } });

  window.fetch = async (address) => {
    const url = new URL(address, "https://unmask.invalid/");
    const [, wanted] = url.pathname.match(/^\/runs\/[^/]+(\/candidates)?$/) ?? [null, "unknown"];
    const from = Number(url.searchParams.get("from") ?? 0), to = Number(url.searchParams.get("to") ?? Infinity);
    if (wanted === undefined) return reply({ run: held.run, events: held.events.filter((event) => !event.index || event.index >= from) });
    if (wanted === "unknown") return new Response("", { status: 404 });
    const steps = Object.entries(held.steps).filter(([step]) => step >= from && step <= to);
    return reply({ steps: Object.fromEntries(steps), texts: held.texts });
  };

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => document.body.classList.toggle("dark", dark.matches);
  dark.addEventListener("change", follow);
  follow();
})();
