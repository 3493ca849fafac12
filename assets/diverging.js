// The scale of signed values, the same in light and dark: blue below zero, paper at zero, orange above.

const BLUE = [44, 90, 160], PAPER = [251, 250, 247], ORANGE = [184, 86, 15];

/** The colour of a share from -1 to 1 as [r, g, b]. */
export function signedRgb(share) {
  const end = share < 0 ? BLUE : ORANGE, part = Math.min(1, Math.abs(share));
  return PAPER.map((from, channel) => Math.round(from + part * (end[channel] - from)));
}

export const signedCss = (share) => `rgb(${signedRgb(share).join(" ")})`;

/** Whether black text contrasts more than white on that colour. */
export function darkText(rgb) {
  const [r, g, b] = rgb.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return (0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05) ** 2 > 1.05 * 0.05;
}

export const SIGNED_GRADIENT = `linear-gradient(to right, ${[-1, -0.5, 0, 0.5, 1].map(signedCss).join(", ")})`;

/** A signed value with its sign printed: colours alone are never the message. */
export function signed(value, digits = 2) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value), text = size >= 100 ? size.toFixed(0) : size.toFixed(digits);
  return Number(text) === 0 ? "0" : `${value < 0 ? "−" : "+"}${text}`;
}
