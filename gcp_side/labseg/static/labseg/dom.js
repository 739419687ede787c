// Small helpers for elements and texts.
const { gettext } = globalThis;

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

export function fill(text, values) {
  return text.replace(/%\((\w+)\)s/g, (_, key) => values[key]);
}

export function clock(iso) {
  const time = new Date(iso);
  const today = time.toDateString() === new Date().toDateString();
  const format = today ? { hour: "2-digit", minute: "2-digit" } : { dateStyle: "short", timeStyle: "short" };
  return new Intl.DateTimeFormat(language, { hour12: false, ...format }).format(time);
}

export const number = (value, digits) => new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);

export function stateName(state) {
  return {
    submitting: gettext("Sending"), pending: gettext("Waiting"), claimed: gettext("In work"), succeeded: gettext("Done"),
    failed: gettext("Failed"), cancelled: gettext("Cancelled"), rejected: gettext("Rejected"), "result-unreadable": gettext("Result unreadable"),
  }[state] ?? state;
}

export function volumes(request) {
  if (request.tumour_found === false) return gettext("no tumour");
  return (request.segments ?? []).map((one) => `${number(one.volume_ml, 2)} ml`).join(" · ");
}
