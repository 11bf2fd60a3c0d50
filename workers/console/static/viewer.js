// @ts-check
/**
 * The result viewer: slices come as 16-bit HU, the window is laid here, outlines are drawn as lines.
 *
 * @typedef {{runs: number[][], edges: number[][]}} Outline
 * @typedef {{id: number, slice: number | null, outlines: Record<string, Outline>, axes: number[][]}} Nodule
 * @typedef {{rows: number, columns: number, pixel_spacing_mm: [number, number],
 *   letters: string[], z_mm: number[], nodules: Nodule[]}} View
 * @typedef {{hu: Int16Array, rows: number, columns: number}} Slice
 */

const WINDOWS = { lung: [-600, 1500], soft: [40, 400], bone: [400, 1800], wide: [0, 4000] };
const KEYS = ["lung", "soft", "bone", "wide"];
const AHEAD = 4;
const KEPT = 80;
const MAGNIFIED_MM = 60;
const COLOUR = "#ffb000";
const CHOSEN = "#00d5ff";

/** @param {HTMLElement} place */
async function show(place) {
  const address = /** @type {string} */ (place.dataset.viewer);
  const canvas = /** @type {HTMLCanvasElement} */ (place.querySelector("canvas"));
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { alpha: false }));
  const slider = /** @type {HTMLInputElement} */ (place.querySelector("input[type=range]"));
  const where = /** @type {HTMLElement} */ (place.querySelector("[data-where]"));
  const said = /** @type {HTMLElement} */ (place.querySelector("[data-said]"));
  const paper = document.createElement("canvas");
  const answer = await fetch(`${address}/view`);
  if (!answer.ok) {
    said.textContent = "The result cannot be read now; load the page again.";
    return;
  }
  const view = /** @type {View} */ (await answer.json());
  /** @type {Map<number, Promise<Slice>>} */
  const slices = new Map();
  const last = view.z_mm.length - 1;
  let [centre, width] = WINDOWS.lung;
  let index = view.nodules.find((item) => item.slice !== null)?.slice ?? Math.floor(last / 2);
  let chosen = view.nodules[0]?.id ?? 0;
  let outlines = true;
  let magnified = false;
  let drawing = 0;

  /** @param {number} at */
  function fetchSlice(at) {
    let found = slices.get(at);
    if (!found) {
      found = (async () => {
        const answer = await fetch(`${address}/slices/${at}`);
        if (!answer.ok) throw new Error(String(answer.status));
        return {
          hu: new Int16Array(await answer.arrayBuffer()),
          rows: Number(answer.headers.get("X-Rows")),
          columns: Number(answer.headers.get("X-Columns")),
        };
      })();
      found.catch(() => slices.delete(at));
      slices.set(at, found);
      if (slices.size > KEPT) slices.delete(/** @type {number} */ (slices.keys().next().value));
    }
    return found;
  }

  /** The part of the slice that is shown, in pixels of the slice: left, top, width, height. */
  function part() {
    const [dy, dx] = view.pixel_spacing_mm;
    const nodule = view.nodules.find((item) => item.id === chosen);
    const axis = nodule?.axes[0];
    if (!magnified || !axis) {
      const side = Math.max(view.columns * dx, view.rows * dy);
      return [(view.columns - side / dx) / 2, (view.rows - side / dy) / 2, side / dx, side / dy];
    }
    const [j, i] = [(axis[0] + axis[2]) / 2 + 0.5, (axis[1] + axis[3]) / 2 + 0.5];
    return [i - MAGNIFIED_MM / dx / 2, j - MAGNIFIED_MM / dy / 2, MAGNIFIED_MM / dx, MAGNIFIED_MM / dy];
  }

  async function draw() {
    const mine = ++drawing;
    /** @type {Slice} */
    let slice;
    try {
      slice = await fetchSlice(index);
    } catch {
      said.textContent = "This slice cannot be read now; it is tried again when you come back to it.";
      return;
    }
    if (mine !== drawing) return;
    const { hu, rows, columns } = slice;
    paper.width = columns;
    paper.height = rows;
    const paperPen = /** @type {CanvasRenderingContext2D} */ (paper.getContext("2d", { alpha: false }));
    const image = paperPen.createImageData(columns, rows);
    const grey = new Uint32Array(image.data.buffer);
    const low = centre - width / 2;
    const scale = 255 / width;
    for (let n = 0; n < grey.length; n += 1) {
      const value = Math.max(0, Math.min(255, (hu[n] - low) * scale)) | 0;
      grey[n] = 0xff000000 | (value << 16) | (value << 8) | value;
    }
    paperPen.putImageData(image, 0, 0);
    const side = Math.round(Math.min(1024, canvas.clientWidth * devicePixelRatio)) || 512;
    canvas.width = side;
    canvas.height = side;
    const [left, top, wide, high] = part();
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, side, side);
    pen.imageSmoothingEnabled = true;
    pen.imageSmoothingQuality = "high";
    pen.setTransform(side / wide, 0, 0, side / high, (-left * side) / wide, (-top * side) / high);
    pen.drawImage(paper, 0, 0);
    if (outlines) drawOutlines(wide / side);
    pen.setTransform(1, 0, 0, 1, 0, 0);
    drawLetters(side);
    slider.value = String(index);
    where.textContent = `slice ${index + 1} of ${last + 1}, z ${view.z_mm[index].toFixed(1)} mm, window ${Math.round(centre)} / ${Math.round(width)} HU`;
    canvas.setAttribute("aria-label", `Axial CT, ${where.textContent}`);
    canvas.dataset.slice = String(index);
    for (let step = 1; step <= AHEAD; step += 1)
      for (const at of [index + step, index - step])
        if (at >= 0 && at <= last) fetchSlice(at).catch(() => undefined);
  }

  /** @param {number} pixel Size of a pixel of the screen, in pixels of the slice. */
  function drawOutlines(pixel) {
    for (const nodule of view.nodules) {
      const outline = nodule.outlines[index];
      const colour = nodule.id === chosen ? CHOSEN : COLOUR;
      pen.strokeStyle = colour;
      pen.fillStyle = colour;
      pen.lineWidth = 1.5 * pixel * devicePixelRatio;
      if (outline) {
        pen.globalAlpha = 0.16;
        for (const [j, from, to] of outline.runs) pen.fillRect(from, j, to - from, 1);
        pen.globalAlpha = 1;
        pen.beginPath();
        for (const [x0, y0, x1, y1] of outline.edges) {
          pen.moveTo(x0, y0);
          pen.lineTo(x1, y1);
        }
        pen.stroke();
      }
      if (nodule.slice === index) {
        pen.beginPath();
        for (const [j0, i0, j1, i1] of nodule.axes) {
          pen.moveTo(i0 + 0.5, j0 + 0.5);
          pen.lineTo(i1 + 0.5, j1 + 0.5);
        }
        pen.stroke();
        const [j, i] = [Math.min(...nodule.axes.map((a) => Math.min(a[0], a[2]))), Math.max(...nodule.axes.map((a) => Math.max(a[1], a[3])))];
        pen.font = `600 ${15 * pixel * devicePixelRatio}px system-ui, sans-serif`;
        pen.fillText(String(nodule.id), i + 4 * pixel + 1, j);
      }
    }
  }

  /** @param {number} side */
  function drawLetters(side) {
    const [left, right, top, bottom] = view.letters;
    pen.font = `600 ${14 * devicePixelRatio}px system-ui, sans-serif`;
    pen.fillStyle = "#e8e8e8";
    pen.textBaseline = "middle";
    pen.textAlign = "left";
    pen.fillText(left, 8, side / 2);
    pen.textAlign = "right";
    pen.fillText(right, side - 8, side / 2);
    pen.textAlign = "center";
    pen.fillText(top, side / 2, 14 * devicePixelRatio);
    pen.fillText(bottom, side / 2, side - 12 * devicePixelRatio);
    pen.textAlign = "left";
    pen.textBaseline = "alphabetic";
  }

  /** @param {number} at */
  function go(at) {
    index = Math.max(0, Math.min(last, at));
    draw();
  }

  /** @param {keyof typeof WINDOWS} name */
  function setWindow(name) {
    [centre, width] = WINDOWS[name];
    for (const button of place.querySelectorAll("[data-window]"))
      button.setAttribute("aria-pressed", String(/** @type {HTMLElement} */ (button).dataset.window === name));
    draw();
  }

  /** @param {number} id */
  function choose(id) {
    const nodule = view.nodules.find((item) => item.id === id);
    if (!nodule) return;
    chosen = id;
    for (const card of document.querySelectorAll("[data-nodule]"))
      card.classList.toggle("chosen", /** @type {HTMLElement} */ (card).dataset.nodule === String(id));
    if (nodule.slice !== null) go(nodule.slice);
  }

  /** @param {number} step */
  function chooseNext(step) {
    if (!view.nodules.length) return;
    const at = view.nodules.findIndex((item) => item.id === chosen);
    const count = view.nodules.length;
    const next = view.nodules[(at + step + count) % count];
    choose(next.id);
    document.getElementById(`nodule-${next.id}`)?.scrollIntoView({ block: "nearest" });
  }

  function toggleOutlines() {
    outlines = !outlines;
    place.querySelector("[data-outlines]")?.setAttribute("aria-pressed", String(outlines));
    draw();
  }

  function toggleMagnified() {
    magnified = !magnified;
    place.querySelector("[data-magnify]")?.setAttribute("aria-pressed", String(magnified));
    draw();
  }

  let turned = 0;
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      turned += event.deltaMode === 0 ? event.deltaY / 40 : event.deltaY;
      const steps = Math.trunc(turned);
      if (steps) {
        turned -= steps;
        go(index + Math.max(-5, Math.min(5, steps)));
      }
    },
    { passive: false },
  );
  /** @type {{x: number, y: number, centre: number, width: number} | null} */
  let grip = null;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    grip = { x: event.clientX, y: event.clientY, centre, width };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!grip) return;
    if (event.pointerType === "touch") {
      const steps = Math.trunc((event.clientY - grip.y) / 12);
      if (steps) {
        grip.y = event.clientY;
        go(index + steps);
      }
      return;
    }
    width = Math.max(20, grip.width + 4 * (event.clientX - grip.x));
    centre = grip.centre + 2 * (event.clientY - grip.y);
    for (const button of place.querySelectorAll("[data-window]")) button.setAttribute("aria-pressed", "false");
    draw();
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => (grip = null));
  slider.addEventListener("input", () => go(Number(slider.value)));
  for (const button of place.querySelectorAll("[data-window]"))
    button.addEventListener("click", () =>
      setWindow(/** @type {keyof typeof WINDOWS} */ (/** @type {HTMLElement} */ (button).dataset.window)),
    );
  place.querySelector("[data-outlines]")?.addEventListener("click", toggleOutlines);
  place.querySelector("[data-magnify]")?.addEventListener("click", toggleMagnified);
  for (const button of document.querySelectorAll("[data-go]"))
    button.addEventListener("click", () => choose(Number(/** @type {HTMLElement} */ (button).dataset.go)));
  document.addEventListener("keydown", (event) => {
    const at = /** @type {HTMLElement} */ (event.target);
    const typing = at.matches("input:not([type=range]), select, textarea") || document.querySelector("dialog[open]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? 10 : 1;
    const number = Number(event.key);
    if (event.key === "ArrowUp") go(index + step);
    else if (event.key === "ArrowDown") go(index - step);
    else if (event.key === "Home") go(0);
    else if (event.key === "End") go(last);
    else if (event.key === "n") chooseNext(1);
    else if (event.key === "p") chooseNext(-1);
    else if (event.key === "o") toggleOutlines();
    else if (event.key === "z") toggleMagnified();
    else if (number >= 1 && number <= 4) setWindow(/** @type {keyof typeof WINDOWS} */ (KEYS[number - 1]));
    else return;
    event.preventDefault();
  });
  addEventListener("resize", () => draw());
  if (chosen) choose(chosen);
  else draw();
}

for (const place of document.querySelectorAll("[data-viewer]"))
  if (place.querySelector("canvas")) show(/** @type {HTMLElement} */ (place));
