// Pixels from voxels, without a page: slices, windows, labels, outlines, projections.
import { column, dot, inverse, norm, scale, toWorld } from "./geometry.js";

function steps(affineInverse, raster) {
  const linear = [0, 1, 2].map((r) => [affineInverse[4 * r], affineInverse[4 * r + 1], affineInverse[4 * r + 2]]);
  return {
    start: toWorld(affineInverse, raster.origin),
    du: linear.map((row) => dot(row, raster.du)),
    dv: linear.map((row) => dot(row, raster.dv)),
  };
}

// Voxels under each pixel, linear between voxels; NaN outside of the volume.
export function sampleImage({ data, shape, affine }, raster) {
  const [depth, rows, columns] = shape;
  const { start, du, dv } = steps(inverse(affine), raster);
  const out = new Float32Array(raster.width * raster.height);
  const plane = rows * columns;
  let at = 0;
  for (let y = 0; y < raster.height; y += 1) {
    let i = start[0] + y * dv[0];
    let j = start[1] + y * dv[1];
    let k = start[2] + y * dv[2];
    for (let x = 0; x < raster.width; x += 1, at += 1, i += du[0], j += du[1], k += du[2]) {
      if (i < -0.501 || j < -0.501 || k < -0.501 || i > columns - 0.499 || j > rows - 0.499 || k > depth - 0.499) {
        out[at] = NaN;
        continue;
      }
      const ic = Math.min(Math.max(i, 0), columns - 1);
      const jc = Math.min(Math.max(j, 0), rows - 1);
      const kc = Math.min(Math.max(k, 0), depth - 1);
      let i0 = Math.floor(ic + 1e-4);
      let j0 = Math.floor(jc + 1e-4);
      let k0 = Math.floor(kc + 1e-4);
      const fi = Math.max(0, ic - i0);
      const fj = Math.max(0, jc - j0);
      const fk = Math.max(0, kc - k0);
      const here = k0 * plane + j0 * columns + i0;
      if (fi < 1e-3 && fj < 1e-3 && fk < 1e-3) {
        out[at] = data[here];
        continue;
      }
      const di = i0 < columns - 1 ? 1 : 0;
      const dj = j0 < rows - 1 ? columns : 0;
      const dk = k0 < depth - 1 ? plane : 0;
      const a = data[here] + (data[here + di] - data[here]) * fi;
      const b = data[here + dj] + (data[here + dj + di] - data[here + dj]) * fi;
      const near = a + (b - a) * fj;
      if (fk < 1e-3) {
        out[at] = near;
        continue;
      }
      const c = data[here + dk] + (data[here + dk + di] - data[here + dk]) * fi;
      const d = data[here + dk + dj] + (data[here + dk + dj + di] - data[here + dk + dj]) * fi;
      out[at] = near + (c + (d - c) * fj - near) * fk;
    }
  }
  return out;
}

// Grey RGBA of values between low and high.
export function windowed(values, low, high, rgba) {
  const factor = 255 / Math.max(high - low, 1e-6);
  const words = new Uint32Array(rgba.buffer);
  for (let at = 0; at < values.length; at += 1) {
    const value = (values[at] - low) * factor;
    const grey = value > 0 ? (value < 255 ? value | 0 : 255) : 0;
    words[at] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
  }
}

// Segment numbers under each pixel, of the nearest voxel. box: half-open [slices, rows, columns].
export function sampleLabels({ data, box, affine }, raster) {
  const out = new Uint8Array(raster.width * raster.height);
  const [[s0, s1], [r0, r1], [c0, c1]] = box;
  if (s1 <= s0) return out;
  const { start, du, dv } = steps(inverse(affine), raster);
  const rows = r1 - r0;
  const columns = c1 - c0;
  let at = 0;
  for (let y = 0; y < raster.height; y += 1) {
    for (let x = 0; x < raster.width; x += 1, at += 1) {
      const k = Math.floor(start[2] + x * du[2] + y * dv[2] + 0.5 + 1e-6);
      if (k < s0 || k >= s1) continue;
      const j = Math.floor(start[1] + x * du[1] + y * dv[1] + 0.5 + 1e-6);
      if (j < r0 || j >= r1) continue;
      const i = Math.floor(start[0] + x * du[0] + y * dv[0] + 0.5 + 1e-6);
      if (i < c0 || i >= c1) continue;
      out[at] = data[((k - s0) * rows + (j - r0)) * columns + (i - c0)];
    }
  }
  return out;
}

// styles: Map of segment number to { colour: [r, g, b], opacity 0..1 }; others stay clear.
export function labelPixels(labels, styles, rgba) {
  rgba.fill(0);
  for (let at = 0; at < labels.length; at += 1) {
    const style = labels[at] && styles.get(labels[at]);
    if (!style) continue;
    rgba.set(style.colour, 4 * at);
    rgba[4 * at + 3] = Math.round(255 * style.opacity);
  }
}

// Edges [x0, y0, x1, y1] of a segment in pixel corners, along its outside.
export function outline(labels, width, height, number) {
  const edges = [];
  const is = (x, y) => x >= 0 && y >= 0 && x < width && y < height && labels[y * width + x] === number;
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      if (labels[y * width + x] !== number) continue;
      if (!is(x - 1, y)) edges.push([x, y, x, y + 1]);
      if (!is(x + 1, y)) edges.push([x + 1, y, x + 1, y + 1]);
      if (!is(x, y - 1)) edges.push([x, y, x + 1, y]);
      if (!is(x, y + 1)) edges.push([x, y + 1, x + 1, y + 1]);
    }
  }
  return edges;
}

// View directions (right, down, away) for a turn about the body's axis and a tilt, in degrees.
export function viewAxes(turn, tilt) {
  const [a, b] = [turn, tilt].map((degrees) => (degrees * Math.PI) / 180);
  const right = [Math.cos(a), Math.sin(a), 0];
  const away = [-Math.sin(a) * Math.cos(b), Math.cos(a) * Math.cos(b), -Math.sin(b)];
  const down = [-Math.sin(a) * Math.sin(b), Math.cos(a) * Math.sin(b), 0 - Math.cos(b)];
  return { right, down: [-down[0], -down[1], down[2]], away };
}

// Brightest voxel along each line of sight: { size, values, scale mm per pixel }.
// At most `most` voxels are looked at, every n-th of each axis.
export function projection({ data, shape, affine }, axes, most = 1.5e6) {
  const [depth, rows, columns] = shape;
  const skip = Math.max(1, Math.ceil(Math.cbrt((depth * rows * columns) / most)));
  const columnsOf = [0, 1, 2].map((index) => column(affine, index));
  const extent = Math.hypot(...columnsOf.map((step, i) => norm(step) * [columns, rows, depth][i]));
  const pitch = Math.max(...columnsOf.map((step) => norm(step) * skip)) * 1.05;
  const size = Math.ceil(extent / pitch) + 2;
  const values = new Float32Array(size * size);
  const centre = toWorld(affine, [(columns - 1) / 2, (rows - 1) / 2, (depth - 1) / 2]);
  const project = (direction) => columnsOf.map((step) => dot(step, direction) / pitch);
  const [xi, xj, xk] = project(axes.right);
  const [yi, yj, yk] = project(axes.down);
  const x0 = size / 2 - (xi * (columns - 1) + xj * (rows - 1) + xk * (depth - 1)) / 2;
  const y0 = size / 2 - (yi * (columns - 1) + yj * (rows - 1) + yk * (depth - 1)) / 2;
  for (let k = 0; k < depth; k += skip) {
    for (let j = 0; j < rows; j += skip) {
      let x = x0 + xj * j + xk * k;
      let y = y0 + yj * j + yk * k;
      let at = (k * rows + j) * columns;
      for (let i = 0; i < columns; i += skip, at += skip, x += xi * skip, y += yi * skip) {
        const spot = (y | 0) * size + (x | 0);
        if (data[at] > values[spot]) values[spot] = data[at];
      }
    }
  }
  return { size, values, pitch, centre };
}

// The values between which a projection shows vessels and what enhances, and the body behind them.
export function brightRange(values) {
  const found = values.filter((value) => value > 0).sort();
  const at = (share) => found[Math.floor(share * (found.length - 1))] ?? 0;
  const body = at(0.5);
  return [body * 0.6, Math.max(at(0.999), body * 1.2, 1)];
}

// The tumour's outer voxels with their outward normals, LPS mm.
export function surface({ data, box, affine }) {
  const [[s0, s1], [r0, r1], [c0, c1]] = box;
  const [depth, rows, columns] = [s1 - s0, r1 - r0, c1 - c0];
  const at = (k, j, i) => (k < 0 || j < 0 || i < 0 || k >= depth || j >= rows || i >= columns ? 0 : data[(k * rows + j) * columns + i]);
  const sides = [0, 1, 2].map((index) => column(affine, index)).map((step) => scale(step, 1 / norm(step)));
  const points = [];
  for (let k = 0; k < depth; k += 1) for (let j = 0; j < rows; j += 1) for (let i = 0; i < columns; i += 1) {
    const number = at(k, j, i);
    if (!number) continue;
    const open = [
      (at(k, j, i + 1) ? 0 : 1) - (at(k, j, i - 1) ? 0 : 1),
      (at(k, j + 1, i) ? 0 : 1) - (at(k, j - 1, i) ? 0 : 1),
      (at(k + 1, j, i) ? 0 : 1) - (at(k - 1, j, i) ? 0 : 1),
    ];
    if (!open.some(Boolean)) continue;
    const normal = [0, 1, 2].map((r) => sides[0][r] * open[0] + sides[1][r] * open[1] + sides[2][r] * open[2]);
    points.push({ number, normal: scale(normal, 1 / (norm(normal) || 1)), world: toWorld(affine, [i + c0, j + r0, k + s0]) });
  }
  return points;
}
