// Calls of the site's REST interface. Every failure is an ApiError that a person can read.
export const ROOT = JSON.parse(document.getElementById("labseg-config").textContent).api;
const { gettext } = globalThis;

export class ApiError extends Error {
  constructor(message, { code = "", remedy = "", status = 0 } = {}) {
    super(message);
    Object.assign(this, { code, remedy, status });
  }
}

function known(code) {
  return {
    "orthanc-unavailable": gettext("The image archive (Orthanc) does not answer."),
    "store-unavailable": gettext("The queue does not answer."),
    "job-not-found": gettext("There is no such request."),
    "series-missing": gettext("The series is no longer in the image archive."),
    "not-on-grid": gettext("The segmentation does not lie on the grid of this series."),
    "uneven-spacing": gettext("The slices are not evenly spaced; one may be missing."),
    "duplicate-slice": gettext("Two slices lie at the same place."),
    "missing-slice": gettext("A slice of the series is missing."),
  }[code];
}

// Whether waiting may help: the network, the queue or Orthanc may come back.
export const mayPass = (error) => error.code === "no-answer" || [429, 502, 503, 504].includes(error.status);

export const whatNow = (error) => (mayPass(error) ? gettext("It is tried again by itself.") : error.remedy);
export const explained = (error) => [error.message, whatNow(error)].filter(Boolean).join(" ");

export const messageOf = (code, otherwise) => known(code) ?? otherwise;

function cookie(name) {
  return document.cookie.split("; ").find((one) => one.startsWith(`${name}=`))?.slice(name.length + 1) ?? "";
}

async function call(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path.startsWith("/") ? path : ROOT + path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(gettext("The site does not answer."), { code: "no-answer", remedy: gettext("Check the network.") });
  }
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => ({}));
  if (answer.status === 401 || answer.status === 403) {
    throw new ApiError(gettext("You are no longer logged in, or may not do this."), { status: answer.status, remedy: gettext("Reload the page to log in.") });
  }
  throw new ApiError(messageOf(body.code, body.error ?? gettext("The site refused this.")), { ...body, status: answer.status });
}

export const get = async (path) => (await call(path)).json();

export async function post(path, body = {}) {
  const headers = { "Content-Type": "application/json", "X-CSRFToken": cookie("csrftoken") };
  return (await call(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
}

const KINDS = { uint16: Uint16Array, int16: Int16Array };

export async function voxels(path) {
  const answer = await call(path);
  return new KINDS[answer.headers.get("X-Dtype")](await answer.arrayBuffer());
}

export const octets = async (path) => new Uint8Array(await (await call(path)).arrayBuffer());
export const emptyVoxels = (dtype, count) => new KINDS[dtype](count);
