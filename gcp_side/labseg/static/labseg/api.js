// Calls of the site's REST interface. Every failure is an ApiError that a person can read.
const { api: ROOT, csrf } = configOf(document);
const { gettext } = globalThis;

export class ApiError extends Error {
  constructor(message, { code = "", remedy = "", detail = "", status = 0, reasons = [] } = {}) {
    super(message);
    Object.assign(this, { code, remedy, detail, status, reasons });
  }
}

// Whether waiting may help: the network, the queue, Orthanc or a login in another tab may come.
export const mayPass = (error) => isOver(error) || error.code === "no-answer" || [429, 502, 503, 504].includes(error.status);
const isOver = (error) => error.code === "not-logged-in";

export const whatNow = (error) => (mayPass(error) && !isOver(error) ? gettext("It is tried again by itself.") : error.remedy);
export const explained = (error) => [error.message, whatNow(error)].filter(Boolean).join(" ");

function configOf(page) {
  return JSON.parse(page.getElementById("labseg-config")?.textContent ?? "{}");
}

function cookie(name) {
  return document.cookie.split("; ").find((one) => name && one.startsWith(`${name}=`))?.slice(name.length + 1) ?? "";
}

// The token of the page as it is now: after a login in another tab it has another one.
async function renewToken() {
  const text = await (await call(location.pathname + location.search)).text();
  csrf.token = configOf(new DOMParser().parseFromString(text, "text/html")).csrf?.token ?? csrf.token;
}

async function call(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path.startsWith("/") ? path : ROOT + path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(gettext("The site does not answer."), { code: "no-answer", remedy: gettext("Check the network.") });
  }
  const body = answer.ok ? {} : await answer.json().catch(() => ({}));
  // What was chosen on the page stays: the link beside this sentence opens another tab.
  const over = document.getElementById("session-ended");
  if (over) over.hidden = !isOver(body);
  if (answer.ok) return answer;
  if (isOver(body)) throw new ApiError(gettext("You are no longer logged in."), { ...body, status: answer.status, remedy: gettext("Log in in a new tab; this page then continues.") });
  // Settings of the site that refuse its own pages: the answer says so.
  if ((answer.status === 401 || answer.status === 403) && body.code !== "csrf-refused") {
    throw new ApiError(gettext("You may not do this."), { status: answer.status, remedy: gettext("Reload the page; an administrator of this site gives permissions.") });
  }
  throw new ApiError(body.error ?? gettext("The site refused this."), { ...body, status: answer.status });
}

export const get = async (path) => (await call(path)).json();

async function send(path, body, token) {
  const headers = { "Content-Type": "application/json", [csrf.header]: token };
  return (await call(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
}

export async function post(path, body = {}) {
  try {
    return await send(path, body, cookie(csrf.cookie) || csrf.token);
  } catch (error) {
    if (error.status !== 403 || isOver(error)) throw error;
    await renewToken();
    return send(path, body, csrf.token);
  }
}

// float32: a series whose slices have not all one scale.
const KINDS = { uint16: Uint16Array, int16: Int16Array, float32: Float32Array };

export async function voxels(path, options = {}) {
  const answer = await call(path, options);
  return new KINDS[answer.headers.get("X-Dtype")](await answer.arrayBuffer());
}

export const octets = async (path) => new Uint8Array(await (await call(path)).arrayBuffer());

// A volume that is filled slice by slice; one of whole numbers gives way to fractions.
export function withSlice(volume, slice, index, count) {
  volume ??= new slice.constructor(count);
  if (slice instanceof Float32Array && !(volume instanceof Float32Array)) volume = Float32Array.from(volume);
  volume.set(slice, index * slice.length);
  return volume;
}
