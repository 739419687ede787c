// Four synchronised panes on canvas. Places come from geometry.js, voxels from volumes.js, pixels from render.js.
import * as api from "./api.js";
import { element, number } from "./dom.js";
import {
  column, dot, frameWorld, makeFrame, nearestVoxel, norm, onRaster, planeRaster, PLANE_NAMES, rasterWorld, roundLength, scale,
  sideLetters, sliceAxis, toWorld, add,
} from "./geometry.js";
import { brightRange, labelPixels, outline, projection, sampleImage, sampleLabels, surface, viewAxes, windowed } from "./render.js";
import { Volumes } from "./volumes.js";

const { gettext } = globalThis;
const TURN = 10;
// A phase that is shown for this long is fetched as a whole: fewer when phases are leafed through.
const REST_MS = 250;

export const planeTitle = (plane) => ({ axial: gettext("Axial"), coronal: gettext("Coronal"), sagittal: gettext("Sagittal"), "3d": gettext("3D") })[plane];

export class Viewer {
  constructor(root, { onMove = () => {}, onPhase = () => {}, onFailure = () => {} } = {}) {
    Object.assign(this, { root, onMove, onPhase, onFailure, volumes: new Volumes(), chosen: [], series: [], overlay: null, layout: "axial", zoom: 1, pan: [0, 0], voxel: null, active: 0 });
    Object.assign(this, { showOverlay: true, showOutline: true, opacity: 0.35, showCross: true, hidden: new Set(), turn: 20, tilt: 15, loads: 0 });
    this.panes = [0, 1, 2, 3].map((index) => this.#makePane(index));
    root.replaceChildren(...this.panes.map((pane) => pane.box));
    new ResizeObserver(() => this.draw()).observe(root);
  }

  // chosen: [{ id, title, phases }], one for each pane. Phases are those that the pane can show in place of it,
  // [{ id, title }] in the order of time. What is loaded already is kept.
  async load(chosen, overlayId) {
    const load = ++this.loads;
    // A pane whose series is still the same goes on to show the phase that it shows.
    this.series = chosen.map(({ id, phases }, index) => {
      const shown = this.chosen[index]?.id === id && phases.find((one) => one.id === this.series[index].id);
      return this.#again(shown ? shown.id : id);
    });
    this.chosen = chosen;
    const homes = chosen.map(({ id }) => this.volumes.of(id));
    const isOther = this.overlay?.id !== overlayId;
    if (isOther) this.overlay = null;
    this.overlayError = null;
    this.onPhase(this);
    this.draw();
    const overlay = overlayId && isOther ? this.#loadOverlay(overlayId, load) : null;
    const placed = [...new Set([...homes, ...this.series])].map((one) => this.volumes.place(one));
    overlay?.then(() => this.draw(), (error) => { if (load === this.loads) this.overlayError = error; });
    await Promise.allSettled([...placed, overlay]);
    if (load !== this.loads) return;
    this.#setWindows(homes);
    const reference = homes.find((one) => one.id === this.overlay?.series_id && one.geometry) ?? homes.find((one) => one.geometry);
    if (!reference) return this.draw();
    if (this.frameOf !== reference.id) {
      this.frame = makeFrame(reference.geometry);
      this.frameGrid = reference.geometry;
      this.frameOf = reference.id;
      this.voxel = [..."LPS"].map((name) => Math.floor(this.frame.axes[name].count / 2));
    }
    if (isOther) this.jump();
    this.draw();
    await Promise.allSettled(this.series.map((one) => this.volumes.slice(one, this.#world)));
    this.draw();
    await this.#complete();
  }

  get #world() {
    return frameWorld(this.frame, this.voxel);
  }

  // Of a volume that could not be loaded, another try.
  #again(id) {
    const one = this.volumes.of(id);
    one.error = null;
    return one;
  }

  // One whole volume after the other, of those that the panes show.
  async #complete() {
    const load = this.loads;
    for (const one of [...this.series]) {
      if (load !== this.loads) return;
      if (this.series.includes(one)) await this.volumes.whole(one);
      this.draw();
    }
  }

  // Phases -----------------------------------------------------------------------------

  // Which of its phases a pane shows, from 0; -1 where it shows none of them.
  phaseOf(index) {
    return this.chosen[index]?.phases.findIndex((one) => one.id === this.series[index]?.id) ?? -1;
  }

  titleOf(index) {
    const phase = this.chosen[index]?.phases[this.phaseOf(index)];
    return phase?.title ?? this.chosen[index]?.title ?? "";
  }

  // Shows a phase in a pane, at the same place and with the same window.
  showPhase(index, number) {
    const phases = this.chosen[index]?.phases ?? [];
    const id = phases[Math.min(phases.length - 1, Math.max(0, number))]?.id;
    const before = this.series[index];
    if (!this.frame || !id || id === before.id) return;
    const one = this.#again(id);
    this.series[index] = one;
    if (!this.series.includes(before)) before.stop?.abort();
    takeWindow(one, before);
    this.volumes.drop(this.series);
    this.onPhase(this);
    this.draw();
    this.#fetchShown();
  }

  // One request at a time, of what is shown now: who leafs through thirty phases does not fetch all of them.
  async #fetchShown() {
    clearTimeout(this.resting);
    if (this.fetching) return;
    this.fetching = true;
    const lacks = (one) => one.id && !one.error && (!one.geometry || !this.volumes.hasSlice(one, this.#world));
    for (let one = this.series.find(lacks); one; one = this.series.find(lacks)) {
      await this.volumes.place(one);
      takeWindow(one, one);
      if (one.geometry && this.series.includes(one)) await this.volumes.slice(one, this.#world);
      this.draw();
    }
    this.fetching = false;
    if (this.failure) this.onFailure(this.failure);
    this.resting = setTimeout(() => this.#fetchAround(), REST_MS);
  }

  // The rest of what is shown, then the same slice of the phases beside the active one.
  async #fetchAround() {
    const shown = [...this.series];
    const isStill = () => shown.every((one, index) => one === this.series[index]);
    await this.#complete();
    const [index, at] = [this.active, this.phaseOf(this.active)];
    for (const near of [at + 1, at - 1]) {
      const id = at < 0 ? null : this.chosen[index].phases[near]?.id;
      if (!id || !isStill() || this.fetching) continue;
      const one = this.#again(id);
      await this.volumes.place(one);
      if (one.geometry) await this.volumes.slice(one, this.#world);
    }
  }

  // Phases of one examination share a window, so that enhancement shows; other contrasts do not.
  // A window that was set by hand stays.
  #setWindows(homes) {
    const placed = homes.filter((one) => one.geometry);
    const shared = this.linked ? span(placed.map((one) => one.geometry.window)) : null;
    const byHand = this.linked ? placed.find((one) => one.byHand)?.window : null;
    for (const one of placed) {
      one.home = shared ?? one.geometry.window;
      one.window = { ...(one.byHand ? one.window : byHand ?? one.home) };
    }
    this.series.forEach((one, index) => { if (one !== homes[index]) takeWindow(one, homes[index]); });
  }

  // What kept something from being shown, if anything did.
  get failure() {
    return this.series.find((one) => one.error)?.error ?? this.overlayError;
  }

  async #loadOverlay(id, load) {
    const overlay = await api.get(`instances/${id}/overlay/`);
    overlay.data = await api.octets(overlay.labels_url);
    overlay.id = id;
    if (load === this.loads) this.overlay = overlay;
  }

  // Where the panes look -----------------------------------------------------------------

  jump() {
    if (!this.overlay?.centre) return;
    const [s, r, c] = this.overlay.centre;
    this.voxel = nearestVoxel(this.frame, toWorld(this.overlay.affine, [c, r, s]));
    this.draw();
  }

  setLayout(layout) {
    this.layout = layout;
    this.onPhase(this);
    this.draw();
  }

  // The series of the three planes.
  activate(index) {
    this.active = index;
    this.onPhase(this);
    this.draw();
  }

  reset() {
    Object.assign(this, { zoom: 1, pan: [0, 0], turn: 20, tilt: 15 });
    for (const one of this.series) if (one.geometry) Object.assign(one, { window: { ...one.home }, byHand: false });
    this.draw();
  }

  scroll(pane, by) {
    if (!this.voxel || this.planeOf(pane) === "3d") return;
    const axis = sliceAxis(this.planeOf(pane));
    const count = this.frame.axes["LPS"[axis]].count;
    this.voxel[axis] = Math.min(count - 1, Math.max(0, this.voxel[axis] + by));
    this.draw();
  }

  magnify(factor) {
    this.zoom = Math.min(12, Math.max(0.5, this.zoom * factor));
    this.draw();
  }

  shift(dx, dy) {
    this.pan = [this.pan[0] + dx, this.pan[1] + dy];
    this.draw();
  }

  // Contrast is one for all phases of an examination: they are compared by their brightness.
  contrast(pane, dCentre, dWidth) {
    const one = this.series[this.seriesOf(pane)];
    if (!one?.window) return;
    const unit = Math.max(one.geometry.window.width, 1) / 300;
    const centre = one.window.center + dCentre * unit;
    const width = Math.max(unit, one.window.width + dWidth * unit);
    for (const other of this.linked ? this.series : [one]) if (other.window) Object.assign(other, { window: { center: centre, width }, byHand: true });
    this.draw();
  }

  moveCross(pane, dx, dy) {
    const place = pane.raster && onRaster(pane.raster, frameWorld(this.frame, this.voxel));
    if (place) this.#lookAt(pane, place[0] + dx, place[1] + dy);
  }

  #lookAt(pane, x, y) {
    this.voxel = nearestVoxel(this.frame, rasterWorld(pane.raster, x, y));
    this.draw();
  }

  planeOf(pane) {
    return this.layout === "mpr" ? [...PLANE_NAMES, "3d"][pane.index] : this.layout;
  }

  seriesOf(pane) {
    return this.layout === "mpr" ? this.active : pane.index;
  }

  // Panes ------------------------------------------------------------------------------

  #makePane(index) {
    const canvas = (name) => element("canvas", { class: name, "aria-hidden": "true" });
    const text = (name) => element("div", { class: `mark ${name}` });
    const pane = { index, image: canvas("image"), layer: canvas("layer"), lines: canvas("lines"), cache: {} };
    for (const name of ["title", "slice", "window", "left", "right", "top", "bottom", "note", "ruler"]) pane[name] = text(name);
    pane.box = element("div", { class: "pane", tabindex: "0", role: "application", "data-pane": index },
      pane.image, pane.layer, pane.lines, pane.title, pane.slice, pane.window, pane.left, pane.right, pane.top, pane.bottom, pane.note, pane.ruler);
    this.#listen(pane);
    return pane;
  }

  #listen(pane) {
    const held = new Map();
    let moved = 0;
    let spread = 0;
    pane.box.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (event.ctrlKey || event.metaKey) this.magnify(Math.exp(-event.deltaY / 300));
      else this.scroll(pane, Math.sign(event.deltaY));
    }, { passive: false });
    pane.box.addEventListener("contextmenu", (event) => event.preventDefault());
    pane.box.addEventListener("focus", () => { if (this.layout !== "mpr") this.activate(pane.index); });
    pane.box.addEventListener("dblclick", () => this.reset());
    pane.box.addEventListener("pointerdown", (event) => {
      pane.box.setPointerCapture(event.pointerId);
      held.set(event.pointerId, [event.clientX, event.clientY]);
      moved = 0;
      spread = 0;
    });
    pane.box.addEventListener("pointermove", (event) => {
      const from = held.get(event.pointerId);
      if (!from) return;
      const [dx, dy] = [event.clientX - from[0], event.clientY - from[1]];
      held.set(event.pointerId, [event.clientX, event.clientY]);
      moved += Math.abs(dx) + Math.abs(dy);
      if (held.size === 2) {
        const [a, b] = [...held.values()];
        const now = Math.hypot(a[0] - b[0], a[1] - b[1]);
        if (spread) this.magnify(now / spread);
        spread = now;
      } else if (moved > 3) this.#drag(pane, event, dx, dy);
    });
    const end = (event) => {
      if (held.delete(event.pointerId) && moved <= 3 && event.button === 0 && event.type === "pointerup") this.#click(pane, event);
    };
    pane.box.addEventListener("pointerup", end);
    pane.box.addEventListener("pointercancel", end);
  }

  #drag(pane, event, dx, dy) {
    if (this.planeOf(pane) === "3d") {
      this.turn -= dx / 2;
      this.tilt = Math.min(90, Math.max(-90, this.tilt + dy / 2));
      this.draw();
    } else if (event.shiftKey || event.buttons & 6) this.shift(dx, dy);
    else this.contrast(pane, dy, dx);
  }

  #click(pane, event) {
    if (!pane.raster || !pane.view) return;
    const box = pane.box.getBoundingClientRect();
    const { scale: factor, x0, y0 } = pane.view;
    const x = (event.clientX - box.left - x0) / factor / pane.raster.spacing[0] - 0.5;
    const y = (event.clientY - box.top - y0) / factor / pane.raster.spacing[1] - 0.5;
    this.#lookAt(pane, x, y);
  }

  // What a key does in a pane; true when it did something.
  key(pane, event) {
    const by = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key];
    if (by && this.planeOf(pane) === "3d") {
      this.turn -= TURN * by[0];
      this.tilt += TURN * by[1];
      this.draw();
    } else if (by && event.altKey) this.moveCross(pane, ...by);
    else if (by && event.shiftKey) this.shift(-20 * by[0], -20 * by[1]);
    else if (by && by[1]) this.scroll(pane, by[1]);
    else if (by) this.contrast(pane, 0, 6 * by[0]);
    else {
      const act = {
        PageUp: () => this.scroll(pane, -10), PageDown: () => this.scroll(pane, 10),
        Home: () => this.scroll(pane, -1e6), End: () => this.scroll(pane, 1e6),
        "+": () => this.magnify(1.2), "=": () => this.magnify(1.2), "-": () => this.magnify(1 / 1.2), 0: () => this.reset(),
        "[": () => this.contrast(pane, 0, -12), "]": () => this.contrast(pane, 0, 12),
        ",": () => this.contrast(pane, -8, 0), ".": () => this.contrast(pane, 8, 0),
      }[event.key];
      if (!act) return false;
      act();
    }
    return true;
  }

  // Drawing ----------------------------------------------------------------------------

  draw() {
    if (this.due) return;
    this.due = requestAnimationFrame(() => {
      this.due = 0;
      for (const pane of this.panes) this.#drawPane(pane);
      if (this.voxel) this.onMove(this);
    });
  }

  #drawPane(pane) {
    const one = this.series[this.seriesOf(pane)];
    const plane = this.planeOf(pane);
    const { width, height } = fit(pane);
    for (const name of ["slice", "window", "left", "right", "top", "bottom", "ruler"]) pane[name].textContent = "";
    pane.ruler.hidden = true;
    const title = this.titleOf(this.seriesOf(pane));
    pane.title.textContent = this.layout === "mpr" ? `${planeTitle(plane)}\n${title}` : title;
    pane.box.setAttribute("aria-label", `${planeTitle(plane)}: ${title}`);
    pane.box.classList.toggle("is-active", this.layout !== "mpr" && pane.index === this.active);
    pane.raster = null;
    pane.note.textContent = this.#note(one);
    if (!one?.volume?.data || !this.frame) return;
    if (plane === "3d") this.#draw3d(pane, one, width, height);
    else this.#drawPlane(pane, one, plane, width, height);
  }

  #note(one) {
    if (one?.error) return api.explained(one.error);
    if (!one) return "";
    if (!one.id) return gettext("No series chosen");
    return one.complete ? "" : gettext("Loading…");
  }

  #drawPlane(pane, one, plane, width, height) {
    const fine = Math.min(...[0, 1, 2].map((index) => norm(column(one.geometry.affine, index))));
    const same = one.id === this.frameOf || sameGrid(one.geometry, this.frameGrid);
    const raster = planeRaster(this.frame, plane, this.voxel, same ? Infinity : Math.max(fine, 0.4));
    pane.raster = raster;
    const factor = Math.min(width / raster.widthMm, height / raster.heightMm) * 0.96 * this.zoom;
    pane.view = { scale: factor, x0: width / 2 + this.pan[0] - (raster.widthMm * factor) / 2, y0: height / 2 + this.pan[1] - (raster.heightMm * factor) / 2 };
    const target = [pane.view.x0, pane.view.y0, raster.widthMm * factor, raster.heightMm * factor];
    this.#paintImage(pane, one, raster, target);
    this.#paintLayer(pane, plane, target);
    this.#paintLines(pane, raster, width, height);
    this.#mark(pane, one, raster, factor);
    pane.box.dataset.slice = raster.slice;
    pane.box.dataset.plane = plane;
  }

  #paintImage(pane, one, raster, target) {
    const key = [one.id, one.version, raster.slice, raster.width, this.planeOf(pane), this.frameOf].join();
    if (pane.cache.key !== key) pane.cache = { ...pane.cache, key, values: sampleImage(one.volume, raster), shown: "" };
    const { slope, intercept } = one.geometry;
    const low = (one.window.center - one.window.width / 2 - intercept) / slope;
    const high = (one.window.center + one.window.width / 2 - intercept) / slope;
    if (pane.cache.shown !== `${low},${high}`) {
      pane.cache.shown = `${low},${high}`;
      pane.cache.picture = picture(pane.cache.picture, raster.width, raster.height, (rgba) => windowed(pane.cache.values, low, high, rgba));
    }
    const context = pane.image.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(pane.cache.picture, ...target);
  }

  get styles() {
    return new Map((this.overlay?.segments ?? []).filter((one) => !this.hidden.has(one.number)).map((one) => [one.number, { colour: one.colour, opacity: this.opacity }]));
  }

  #paintLayer(pane, plane, target) {
    if (!this.overlay || !this.showOverlay) return;
    // On the mask's own voxels, or fine enough for their edges.
    const native = this.overlay.series_id === this.frameOf;
    const raster = planeRaster(this.frame, plane, this.voxel, native ? Infinity : 0.5);
    const labels = sampleLabels(this.overlay, raster);
    const context = pane.layer.getContext("2d");
    context.imageSmoothingEnabled = false;
    pane.cache.layer = picture(pane.cache.layer, raster.width, raster.height, (rgba) => labelPixels(labels, this.styles, rgba));
    context.drawImage(pane.cache.layer, ...target);
    if (this.showOutline) this.#paintOutline(context, labels, raster, target);
  }

  #paintOutline(context, labels, raster, [x0, y0, w, h]) {
    const [fx, fy] = [w / raster.width, h / raster.height];
    context.lineWidth = 1.5;
    for (const [number_, { colour }] of this.styles) {
      context.strokeStyle = `rgb(${colour.join()})`;
      context.beginPath();
      for (const [ax, ay, bx, by] of outline(labels, raster.width, raster.height, number_)) {
        context.moveTo(x0 + ax * fx, y0 + ay * fy);
        context.lineTo(x0 + bx * fx, y0 + by * fy);
      }
      context.stroke();
    }
  }

  #paintLines(pane, raster, width, height) {
    if (!this.showCross) return;
    const [px, py] = onRaster(raster, frameWorld(this.frame, this.voxel));
    const x = Math.round(pane.view.x0 + (px + 0.5) * raster.spacing[0] * pane.view.scale) + 0.5;
    const y = Math.round(pane.view.y0 + (py + 0.5) * raster.spacing[1] * pane.view.scale) + 0.5;
    const context = pane.lines.getContext("2d");
    context.strokeStyle = "rgba(125, 200, 255, .55)";
    context.lineWidth = 1;
    context.beginPath();
    for (const [a, b, c, d] of [[0, y, x - 14, y], [x + 14, y, width, y], [x, 0, x, y - 14], [x, y + 14, x, height]]) {
      context.moveTo(a, b);
      context.lineTo(c, d);
    }
    context.stroke();
  }

  #mark(pane, one, raster, factor) {
    const away = dot(frameWorld(this.frame, this.voxel), raster.normal);
    pane.slice.textContent = `${raster.slice + 1} / ${raster.slices} · ${number(Math.abs(away), 1)} mm ${sideLetters(scale(raster.normal, Math.sign(away) || 1))}`;
    pane.window.textContent = `W ${number(one.window.width, 0)} · L ${number(one.window.center, 0)}`;
    pane.right.textContent = sideLetters(scale(raster.du, 1 / norm(raster.du)));
    pane.left.textContent = sideLetters(scale(raster.du, -1 / norm(raster.du)));
    pane.bottom.textContent = sideLetters(scale(raster.dv, 1 / norm(raster.dv)));
    pane.top.textContent = sideLetters(scale(raster.dv, -1 / norm(raster.dv)));
    const length = roundLength(120 / factor);
    pane.ruler.hidden = false;
    pane.ruler.textContent = length >= 10 ? `${number(length / 10, 0)} cm` : `${number(length, 0)} mm`;
    pane.ruler.style.width = `${length * factor}px`;
  }

  #draw3d(pane, one, width, height) {
    const axes = viewAxes(this.turn, this.tilt);
    const key = [one.id, one.version, this.turn, this.tilt].join();
    if (pane.cache.key3d !== key) {
      const shot = projection(one.volume, axes);
      pane.cache.shot = shot;
      pane.cache.key3d = key;
      const [low, high] = brightRange(shot.values);
      pane.cache.mip = picture(pane.cache.mip, shot.size, shot.size, (rgba) => windowed(shot.values, low, high, rgba));
    }
    const { size, pitch, centre } = pane.cache.shot;
    const factor = (Math.min(width, height) / (size * pitch)) * 1.25 * this.zoom;
    const [x0, y0] = [(width - size * pitch * factor) / 2, (height - size * pitch * factor) / 2];
    pane.image.getContext("2d").drawImage(pane.cache.mip, x0, y0, size * pitch * factor, size * pitch * factor);
    if (this.overlay && this.showOverlay) this.#paintSurface(pane, axes, centre, factor, width, height);
    const side = (direction) => sideLetters(direction);
    pane.right.textContent = side(axes.right);
    pane.left.textContent = side(scale(axes.right, -1));
    pane.bottom.textContent = side(axes.down);
    pane.top.textContent = side(scale(axes.down, -1));
  }

  #paintSurface(pane, axes, centre, factor, width, height) {
    this.overlay.surface ??= surface(this.overlay);
    const context = pane.layer.getContext("2d");
    const steps = [0, 1, 2].map((index) => norm(column(this.overlay.affine, index)));
    const side = Math.max(...steps) * factor * 1.15;
    const points = this.overlay.surface.filter((point) => !this.hidden.has(point.number) && dot(point.normal, axes.away) < 0.15)
      .map((point) => ({ ...point, off: add(point.world, centre, -1) }));
    points.sort((a, b) => dot(b.off, axes.away) - dot(a.off, axes.away));
    const styles = this.styles;
    for (const { number: segment, normal, off } of points) {
      const light = 0.35 + 0.65 * Math.max(0, -dot(normal, axes.away));
      context.fillStyle = `rgb(${styles.get(segment).colour.map((value) => Math.round(value * light)).join()})`;
      context.fillRect(width / 2 + dot(off, axes.right) * factor - side / 2, height / 2 + dot(off, axes.down) * factor - side / 2, side, side);
    }
  }

  // Millimetres of the cursor, as a radiologist names them.
  get position() {
    const world = frameWorld(this.frame, this.voxel);
    return world.map((value, axis) => `${sideLetters([0, 1, 2].map((i) => (i === axis ? Math.sign(value) || 1 : 0)))} ${number(Math.abs(value), 1)}`).join("   ");
  }

  valueOf(one) {
    if (!one?.complete) return null;
    const world = frameWorld(this.frame, this.voxel);
    const point = { width: 1, height: 1, origin: world, du: [1, 0, 0], dv: [0, 1, 0] };
    const [value] = sampleImage(one.volume, point);
    return Number.isNaN(value) ? null : value * one.geometry.slope + one.geometry.intercept;
  }
}

// The window of the phase before, else its own: phases are compared by their brightness.
function takeWindow(one, before) {
  const home = before.home ?? one.geometry?.window;
  if (home) Object.assign(one, { home, window: { ...(before.window ?? home) }, byHand: before.byHand });
}

// The window that takes in all of these.
function span(windows) {
  const low = Math.min(...windows.map((one) => one.center - one.width / 2));
  const high = Math.max(...windows.map((one) => one.center + one.width / 2));
  return { center: (low + high) / 2, width: high - low };
}

function sameGrid(one, other) {
  return one.shape.join() === other.shape.join() && one.affine.every((value, index) => Math.abs(value - other.affine[index]) < 1e-3);
}

function fit(pane) {
  const { clientWidth: width, clientHeight: height } = pane.box;
  const ratio = globalThis.devicePixelRatio || 1;
  for (const canvas of [pane.image, pane.layer, pane.lines]) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
  }
  return { width, height };
}

function picture(canvas, width, height, paint) {
  const made = canvas ?? document.createElement("canvas");
  if (made.width !== width || made.height !== height) Object.assign(made, { width, height });
  const pixels = new ImageData(width, height);
  paint(pixels.data);
  made.getContext("2d").putImageData(pixels, 0, 0);
  return made;
}
