// The list of studies.
import * as api from "./api.js";
import { element, fill, part, stateName, volumes } from "./dom.js";
import { patience } from "./progress.js";

const { gettext, ngettext } = globalThis;
const SIZE = 25;
let number = 1;
let asked = 0;
const trying = patience(load);

async function load() {
  const mine = ++asked;
  if (part("again").hidden) part("message").textContent = gettext("Loading…");
  try {
    const found = await api.get(`studies/?q=${encodeURIComponent(part("search").value)}&page=${number}&page_size=${SIZE}`);
    if (mine !== asked) return;
    trying.done();
    part("rows").replaceChildren(...found.studies.map(row));
    const pages = Math.max(1, Math.ceil(found.count / SIZE));
    part("message").textContent = found.count ? fill(ngettext("%(count)s study · page %(page)s of %(pages)s", "%(count)s studies · page %(page)s of %(pages)s", found.count), { count: found.count, page: number, pages }) : gettext("No studies found.");
    part("before").disabled = number <= 1;
    part("after").disabled = number >= pages;
    for (const id of ["before", "after"]) part(id).hidden = pages < 2;
    part("again").hidden = true;
    part("message").className = "";
  } catch (error) {
    if (mine !== asked) return;
    part("rows").replaceChildren();
    part("message").textContent = api.explained(error);
    part("message").className = "warning";
    part("again").hidden = false;
    trying.failed(error);
  }
}

function row(study) {
  const latest = study.latest_request;
  const name = String(study.patient_name).replaceAll("^", " ").split("=")[0];
  return element("tr", {},
    element("td", { text: study.date ?? "" }),
    element("td", {}, element("a", { href: `${location.pathname}studies/${study.study_id}/`, text: name || study.patient_id || gettext("no name") })),
    element("td", { text: study.patient_id }), element("td", { text: study.description }), element("td", { text: study.modalities.join(", ") }), element("td", { class: "right", text: study.phases > 1 ? fill(gettext("%(series)s (%(count)s phases in one)"), { series: study.series, count: study.phases }) : study.series }),
    element("td", {}, latest ? element("span", { class: `state is-${latest.state}`, text: stateName(latest.state) }) : "–", latest?.finished ? ` ${volumes(latest)}` : ""));
}

const turn = (by) => () => { number += by; load(); };
part("before").addEventListener("click", turn(-1));
part("after").addEventListener("click", turn(1));
part("again").addEventListener("click", load);
part("find").addEventListener("submit", (event) => { event.preventDefault(); number = 1; load(); });
// Requests may have ended meanwhile.
document.addEventListener("visibilitychange", () => { if (!document.hidden) load(); });
load();
