// Places in space, without a page: affines, the frame of a series, its planes.
// Millimetres, LPS: +x to the patient's left, +y to the back, +z to the head.
// An affine is 16 numbers, row by row: (column, row, slice, 1) to LPS.

const PLANES = {
  axial: { u: ["L", 1], v: ["P", 1], w: "S" },
  coronal: { u: ["L", 1], v: ["S", -1], w: "P" },
  sagittal: { u: ["P", 1], v: ["S", -1], w: "L" },
};
export const PLANE_NAMES = Object.keys(PLANES);

export const add = (a, b, f = 1) => [a[0] + f * b[0], a[1] + f * b[1], a[2] + f * b[2]];
export const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
export const scale = (a, f) => [a[0] * f, a[1] * f, a[2] * f];
export const norm = (a) => Math.hypot(a[0], a[1], a[2]);

export function column(affine, index) {
  return [affine[index], affine[4 + index], affine[8 + index]];
}

export function toWorld(affine, [x, y, z]) {
  return [0, 1, 2].map((r) => affine[4 * r] * x + affine[4 * r + 1] * y + affine[4 * r + 2] * z + affine[4 * r + 3]);
}

// The inverse of an affine, as 16 numbers.
export function inverse(m) {
  const [a, b, c, , d, e, f, , g, h, i] = m;
  const det = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  const r = [
    [e * i - f * h, c * h - b * i, b * f - c * e],
    [f * g - d * i, a * i - c * g, c * d - a * f],
    [d * h - e * g, b * g - a * h, a * e - b * d],
  ].map((row) => row.map((value) => value / det));
  const t = [m[3], m[7], m[11]];
  return r.flatMap((row) => [...row, -dot(row, t)]).concat([0, 0, 0, 1]);
}

// The series' own axes, named after the nearest of Left, Posterior, Superior.
// Voxels of the series are the points first + L * l + P * p + S * s with whole l, p, s.
export function makeFrame({ shape, affine }) {
  const counts = [shape[2], shape[1], shape[0]];
  const free = new Set([0, 1, 2]);
  const chosen = {};
  const wanted = [0, 1, 2].flatMap((axis) => [0, 1, 2].map((world) => {
    const direction = column(affine, axis);
    return { axis, world, share: direction[world] / norm(direction) };
  })).sort((one, two) => Math.abs(two.share) - Math.abs(one.share));
  for (const { axis, world, share } of wanted) {
    const name = "LPS"[world];
    if (!free.has(axis) || chosen[name]) continue;
    free.delete(axis);
    chosen[name] = { axis, sign: share < 0 ? -1 : 1 };
  }
  let first = toWorld(affine, [0, 0, 0]);
  const axes = {};
  for (const name of "LPS") {
    const { axis, sign } = chosen[name];
    const step = scale(column(affine, axis), sign);
    if (sign < 0) first = add(first, column(affine, axis), counts[axis] - 1);
    axes[name] = { step, spacing: norm(step), count: counts[axis], direction: scale(step, 1 / norm(step)), axis, sign };
  }
  const matrix = [0, 1, 2].flatMap((r) => [axes.L.step[r], axes.P.step[r], axes.S.step[r], first[r]]).concat([0, 0, 0, 1]);
  return { first, axes, toIndex: inverse(matrix), matrix };
}

// Fractional l, p, s of a point.
export function frameIndex(frame, world) {
  return toWorld(frame.toIndex, world);
}

export function frameWorld(frame, lps) {
  return toWorld(frame.matrix, lps);
}

// The voxel of the frame nearest to a point, kept inside.
export function nearestVoxel(frame, world) {
  return frameIndex(frame, world).map((value, i) => {
    const count = frame.axes["LPS"[i]].count;
    return Math.min(count - 1, Math.max(0, Math.round(value)));
  });
}

// One slice as a raster: pixel (x, y) lies at origin + x * du + y * dv.
// pitch, where given, is the largest distance of two pixels in mm.
export function planeRaster(frame, plane, voxel, pitch = Infinity) {
  const { u: [uName, uSign], v: [vName, vSign], w } = PLANES[plane];
  const u = frame.axes[uName];
  const v = frame.axes[vName];
  const at = { L: voxel[0], P: voxel[1], S: voxel[2] };
  at[uName] = uSign > 0 ? 0 : u.count - 1;
  at[vName] = vSign > 0 ? 0 : v.count - 1;
  const cu = Math.max(1, Math.ceil(u.spacing / pitch - 0.01));
  const cv = Math.max(1, Math.ceil(v.spacing / pitch - 0.01));
  const du = scale(u.step, uSign / cu);
  const dv = scale(v.step, vSign / cv);
  let origin = frameWorld(frame, [at.L, at.P, at.S]);
  // A finer pixel divides a voxel: the edges stay where they are.
  origin = add(origin, du, -(cu - 1) / 2);
  origin = add(origin, dv, -(cv - 1) / 2);
  return {
    width: u.count * cu, height: v.count * cv, origin, du, dv,
    spacing: [u.spacing / cu, v.spacing / cv],
    widthMm: u.count * u.spacing, heightMm: v.count * v.spacing,
    slice: at[w], slices: frame.axes[w].count, normal: frame.axes[w].direction,
  };
}

export function sliceAxis(plane) {
  return "LPS".indexOf(PLANES[plane].w);
}

// Where a point lies on a raster, in pixels (whole numbers are pixel centres).
export function onRaster(raster, world) {
  const off = add(world, raster.origin, -1);
  return [dot(off, raster.du) / dot(raster.du, raster.du), dot(off, raster.dv) / dot(raster.dv, raster.dv)];
}

export function rasterWorld(raster, x, y) {
  return add(add(raster.origin, raster.du, x), raster.dv, y);
}

// The patient's side to which a direction points, e.g. "L" or, oblique, "LH".
export function sideLetters(direction) {
  const names = [["L", "R"], ["P", "A"], ["H", "F"]];
  return [0, 1, 2]
    .filter((axis) => Math.abs(direction[axis]) > 0.35)
    .sort((a, b) => Math.abs(direction[b]) - Math.abs(direction[a]))
    .map((axis) => names[axis][direction[axis] > 0 ? 0 : 1])
    .join("");
}

// A round length in mm that is at most `most`.
export function roundLength(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  return [5, 2, 1].map((step) => step * power).find((length) => length <= most) ?? power;
}
