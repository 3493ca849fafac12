// The scales, the same in light and dark so that pictures can be compared, and the page's colours.

// Cividis (Nuñez, Anderton, Renslow 2018) at ten even stops; between them linear in sRGB.
const STOPS = [
  0x00204d, 0x123570, 0x3b496c, 0x575d6d, 0x707173, 0x8a8678, 0xa59c74, 0xc3b369, 0xe1cc55, 0xfde737,
].map((hex) => [hex >> 16, (hex >> 8) & 255, hex & 255]);

export const CIVIDIS = Array.from({ length: 256 }, (_, index) => {
  const place = (index / 255) * (STOPS.length - 1);
  const low = Math.min(STOPS.length - 2, Math.floor(place));
  return STOPS[low].map((from, channel) => Math.round(from + (place - low) * (STOPS[low + 1][channel] - from)));
});

export const CSS = CIVIDIS.map(([r, g, b]) => `rgb(${r} ${g} ${b})`);

function luminance([r, g, b]) {
  const [x, y, z] = [r, g, b].map((c) => {
    const share = c / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
}

/** Whether black text contrasts more than white on colour `index`. */
export const DARK_TEXT = CIVIDIS.map((rgb) => (luminance(rgb) + 0.05) ** 2 > 1.05 * 0.05);

/** The colour index of a share of the range, -1 for none. */
export function index(share) {
  return Number.isNaN(share) ? -1 : Math.max(0, Math.min(255, Math.round(share * 255)));
}

export const GRADIENT = `linear-gradient(to right, ${[0, 32, 64, 96, 128, 160, 192, 224, 255].map((k) => CSS[k]).join(", ")})`;

/** The same as pixels of an image. */
export const PIXELS = new Uint32Array(new Uint8Array(CIVIDIS.flatMap((rgb) => [...rgb, 255])).buffer);

const tokens = new Map(), systemDark = matchMedia("(prefers-color-scheme: dark)");

/** A colour token of style.css as it is now: canvases are drawn again when the theme flips. */
export function token(name) {
  const key = `${document.body.className}|${systemDark.matches}|${name}`; // asking the style sheets makes them all be looked at
  if (!tokens.get(key)) tokens.set(key, getComputedStyle(document.body).getPropertyValue(`--${name}`).trim());
  return tokens.get(key);
}

export const theme = { epoch: 0 };

export function watchTheme(redraw) {
  let dark = document.body.classList.contains("dark");
  new MutationObserver(() => {
    const now = document.body.classList.contains("dark");
    if (now === dark) return;
    dark = now;
    theme.epoch += 1;
    redraw();
  }).observe(document.body, { attributes: true, attributeFilter: ["class"] });
}
