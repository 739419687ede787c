// Small helpers for elements and texts.
const { gettext } = globalThis;

export const part = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "text") made.textContent = value;
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value != null) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

export const language = document.documentElement.lang;
export const say = (text) => (typeof text === "string" ? text : text?.[language] ?? text?.en ?? "");

// Words of a role or profile; its name, made readable, where no agent has told any.
export function roleTitle({ role, title }) {
  const known = { "dce-0": gettext("Before contrast"), t1c: gettext("T1 with contrast"), t1: "T1", t2: "T2", flair: "FLAIR" };
  const phase = /^dce-([1-9]\d?)$/.exec(role);
  const otherwise = known[role] ?? (phase ? fill(gettext("After contrast, phase %(number)s"), { number: phase[1] }) : readable(role));
  return told(title, role) ?? otherwise;
}

export const profileTitle = ({ name, title }) => told(title, name) ?? readable(name);

function told(title, name) {
  const text = say(title);
  return text && text !== name ? text : null;
}

function readable(name) {
  const words = name.split("-").map((word) => (word.length < 4 ? word.toUpperCase() : word));
  return words.join(" ").replace(/^./, (letter) => letter.toUpperCase());
}

export function fill(text, values) {
  return text.replace(/%\((\w+)\)s/g, (_, key) => values[key]);
}

export function clock(iso) {
  const time = new Date(iso);
  const today = time.toDateString() === new Date().toDateString();
  const format = today ? { hour: "2-digit", minute: "2-digit" } : { dateStyle: "short", timeStyle: "short" };
  return new Intl.DateTimeFormat(language, { hourCycle: "h23", ...format }).format(time);
}

export const number = (value, digits) => new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);

export function stateName(state) {
  return {
    submitting: gettext("Sending"), pending: gettext("Waiting"), claimed: gettext("In work"), succeeded: gettext("Done"),
    failed: gettext("Failed"), cancelled: gettext("Cancelled"), rejected: gettext("Rejected"), "result-unreadable": gettext("Result unreadable"),
  }[state] ?? state;
}

export function volumes(request) {
  const found = request.tumour_found === false ? gettext("no tumour") : (request.segments ?? []).map((one) => `${number(one.volume_ml, 2)} ml`).join(" · ");
  if (found && request.for_patients === false) return `${gettext("NOT FOR PATIENTS")} · ${found}`;
  return found && request.trained_on_synthetic ? `${gettext("TRAINED ON SYNTHETIC IMAGES ONLY")} · ${found}` : found;
}
