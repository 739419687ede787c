// The volumes of series: fetched when they are looked at, and kept while they may be looked at again.
import * as api from "./api.js";
import { add, column, dot, toWorld } from "./geometry.js";

// Of those that no pane shows; each has up to 60 MB.
const MOST_HIDDEN = 6;

export class Volumes {
  #held = new Map();

  // The volume of this id, the same object each time; without an id one of nothing.
  of(id) {
    const found = this.#held.get(id) ?? { id, version: 0, slices: new Set() };
    // The last one asked for is the last to be dropped.
    this.#held.delete(id);
    if (id) this.#held.set(id, found);
    return found;
  }

  // Drop the voxels of all but the last that were shown; where they lie stays known.
  drop(shown) {
    const hidden = [...this.#held.values()].filter((one) => one.volume?.data && !shown.includes(one));
    for (const one of hidden.slice(0, Math.max(0, hidden.length - MOST_HIDDEN))) {
      one.volume.data = null;
      one.complete = false;
      one.slices.clear();
      one.version += 1;
    }
  }

  async place(one) {
    if (!one.id || one.geometry) return;
    try {
      const placed = await api.get(`series/${one.id}/geometry/`);
      one.geometry = placed;
      one.volume ??= { shape: placed.shape, affine: placed.affine, data: null };
    } catch (error) {
      one.error = error;
    }
  }

  // The slice at a place, long before the volume.
  async slice(one, world) {
    if (this.hasSlice(one, world)) return;
    const index = nearestSlice(one.geometry, world);
    try {
      const data = await api.voxels(`series/${one.id}/slices/${index}/`);
      if (one.complete) return;
      one.volume.data = api.withSlice(one.volume.data, data, index, one.geometry.shape.reduce((a, b) => a * b));
      one.slices.add(index);
      one.version += 1;
    } catch (error) {
      one.error = error;
    }
  }

  hasSlice(one, world) {
    return !one.geometry || one.complete || one.slices.has(nearestSlice(one.geometry, world));
  }

  async whole(one) {
    if (!one.geometry || one.complete || one.error || one.stop) return;
    one.stop = new AbortController();
    try {
      one.volume.data = await api.voxels(`series/${one.id}/volume/`, { signal: one.stop.signal });
      one.complete = true;
      one.version += 1;
    } catch (error) {
      if (error.name !== "AbortError") one.error = error;
    } finally {
      one.stop = null;
    }
  }
}

function nearestSlice({ shape, affine }, world) {
  const step = column(affine, 2);
  const index = Math.round(dot(add(world, toWorld(affine, [0, 0, 0]), -1), step) / dot(step, step));
  return Math.min(shape[0] - 1, Math.max(0, index));
}
