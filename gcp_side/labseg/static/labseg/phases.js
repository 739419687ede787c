// The phases of an examination: which follow each other, what each is called, and the control that leafs through them.
import { element, fill, part } from "./dom.js";

const { gettext } = globalThis;

// For each chosen volume the phases that a pane can show in place of it. The phases of one series follow each other;
// where the roles are phases, so do those of all series that were chosen, in the order of the roles.
export function phasesOf(chosen, series, { linked, roleTitle }) {
  const roles = new Map(chosen.filter((one) => one.id).map((one) => [one.id, roleTitle(one)]));
  const groups = chosen.map((one) => group(one.id, series));
  const all = groups.flat().filter((one, index, every) => every.findIndex((other) => other.id === one.id) === index);
  return groups.map((own) => titled(linked ? all : own, roles));
}

// The volumes of the stack of a volume, in the order of time.
function group(id, series) {
  const item = series.find((one) => one.series_id === id?.split(":")[0]);
  if (!item) return id ? [{ id, taken: "" }] : [];
  const held = item.parts?.volumes ?? [];
  const stack = held.find((one) => one.volume_id === id)?.stack;
  if (stack === undefined) return [{ id, item, taken: item.taken }];
  return held.filter((one) => one.stack === stack).map((one, index, every) => ({ id: one.volume_id, item, taken: one.taken, side: one.side, index, count: every.length }));
}

function titled(phases, roles) {
  if (phases.length < 2) return [];
  const several = new Set(phases.map((one) => one.item)).size > 1;
  return phases.map((one, index) => {
    const role = roles.get(one.id) ?? "";
    const words = [fill(gettext("phase %(number)s of %(count)s"), { number: index + 1, count: phases.length })];
    if (several && one.item) words.push(seriesWords(one));
    words.push(...[sideTitle(one.side), one.taken].filter(Boolean));
    const text = words.join(" · ");
    const use = role ? fill(gettext("used as %(role)s"), { role }) : gettext("not used");
    return { id: one.id, role, title: `${role || gettext("Not used")}\n${text}`, text: `${text} · ${use}` };
  });
}

// Which of two stacks of a series it is of, as of both breasts.
export const sideTitle = (side) => ({ right: gettext("right side"), left: gettext("left side") })[side] ?? "";

function seriesWords({ item, index, count }) {
  if (count === undefined) return fill(gettext("series %(number)s"), { number: item.number });
  return fill(gettext("series %(number)s: %(index)s of %(count)s"), { number: item.number, index: index + 1, count });
}

// Of the active pane; nothing where it has one phase alone.
export function drawPhases(viewer) {
  const { phases, id } = viewer.chosen[viewer.active] ?? { phases: [] };
  const at = viewer.phaseOf(viewer.active);
  part("phases").hidden = at < 0;
  if (at < 0) return;
  const slider = part("phase");
  slider.max = phases.length;
  slider.value = at + 1;
  slider.setAttribute("aria-valuetext", phases[at].text);
  part("phase-before").disabled = at === 0;
  part("phase-after").disabled = at === phases.length - 1;
  part("phase-text").textContent = phases[at].text;
  part("phase-home").hidden = phases[at].id === id;
  part("phase-home").textContent = fill(gettext("Back to: %(role)s"), { role: viewer.chosen[viewer.active].title });
}

export function connectPhases(viewer) {
  part("phase").addEventListener("input", (event) => viewer.showPhase(viewer.active, Number(event.target.value) - 1));
  part("phase-before").addEventListener("click", () => stepPhase(viewer, -1));
  part("phase-after").addEventListener("click", () => stepPhase(viewer, 1));
  part("phase-home").addEventListener("click", () => {
    const { phases, id } = viewer.chosen[viewer.active];
    viewer.showPhase(viewer.active, phases.findIndex((one) => one.id === id));
    part("phase").focus();
  });
}

export function stepPhase(viewer, by) {
  const at = viewer.phaseOf(viewer.active);
  if (at >= 0) viewer.showPhase(viewer.active, at + by);
  return at >= 0;
}

// The role, and which phase it is.
function shortTitle(title) {
  const [role, words = ""] = title.split("\n");
  return [role, words.split(" · ")[0]].filter(Boolean).join(" · ");
}

// What the three planes can show, by what the panes show now.
export function drawWhich(viewer) {
  part("which").replaceChildren(...viewer.chosen.map((one, index) => element("option", { value: index, text: shortTitle(viewer.titleOf(index)), selected: index === viewer.active })));
}
