/** Open or close the part of the request that a narrow window folds away. */
export function unfold(open) {
  document.getElementById("request")?.classList.toggle("open", open);
  document.getElementById("more")?.setAttribute("aria-expanded", String(open));
}
