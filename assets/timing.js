// When the steps that came were seen: for measurements. No more is kept than a measurement reads.

const KEPT = 4096; // steps: two lanes of the longest run that is measured, four times over

export const timing = [];

/** Note, after the paint, when each of `stamps` ({step, created, arrived}) was seen; `drawMs` is what its frame took to draw. */
export function noteSeen(stamps, drawMs) {
  const came = stamps.filter(({ arrived }) => arrived !== null);
  if (!came.length) return;
  const channel = new MessageChannel();
  channel.port1.onmessage = () => {
    const painted = (performance.timeOrigin + performance.now()) / 1000;
    timing.push(...came.map((stamp) => ({ ...stamp, painted, drawMs })));
    if (timing.length > KEPT) timing.splice(0, timing.length - KEPT);
  };
  channel.port2.postMessage(null);
}
