// The viewer's tools: buttons, switches, keys, and the line below the images.
import { fill, number, part } from "./dom.js";
import { stepPhase } from "./phases.js";
import { planeTitle } from "./viewer.js";

const { gettext } = globalThis;
const SAID_AFTER_MS = 400;
const LAYOUTS = { 1: "axial", 2: "coronal", 3: "sagittal", 4: "mpr" };
const SWITCHES = { o: ["overlay-on", "showOverlay"], l: ["outline-on", "showOutline"], c: ["cross-on", "showCross"] };

const PHASES = { n: 1, p: -1 };

export function showPosition(viewer) {
  part("position").textContent = `${viewer.position} mm`;
  const value = viewer.valueOf(viewer.series[viewer.active]);
  part("value").textContent = value == null ? "" : fill(gettext("value %(value)s"), { value: number(value, 0) });
}

export function connectTools(viewer) {
  const layout = (name) => chooseLayout(viewer, name);
  for (const one of document.querySelectorAll("[data-layout]")) one.addEventListener("click", () => layout(one.dataset.layout));
  for (const [id, shows] of Object.values(SWITCHES)) {
    part(id).addEventListener("change", (event) => {
      viewer[shows] = event.target.checked;
      viewer.draw();
    });
  }
  const help = () => part("keys").showModal();
  part("help").addEventListener("click", help);
  part("keys-close").addEventListener("click", () => part("keys").close());
  part("jump").addEventListener("click", () => viewer.jump());
  part("reset").addEventListener("click", () => viewer.reset());
  part("which").addEventListener("change", (event) => viewer.activate(Number(event.target.value)));
  part("opacity").addEventListener("input", (event) => {
    viewer.opacity = Number(event.target.value) / 100;
    viewer.draw();
  });
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input:not([type=checkbox], [type=range]), select, textarea") || part("keys").open) return;
    if (event.ctrlKey || event.metaKey) return;
    const pane = viewer.panes.find((one) => one.box === document.activeElement);
    // Under a Korean input method the key names a letter of Hangul, its code the place on the keyboard.
    const key = (/^[\x21-\x7e]$/.test(event.key) ? event.key : event.code.replace(/^Key/, "")).toLowerCase();
    if (pane && viewer.voxel && viewer.key(pane, event)) {
      event.preventDefault();
      announce(viewer, pane);
    } else if (event.altKey) return;
    else if (LAYOUTS[key]) layout(LAYOUTS[key]);
    else if (SWITCHES[key]) part(SWITCHES[key][0]).click();
    else if (key === "t") viewer.jump();
    else if (PHASES[key]) leaf(viewer, PHASES[key]);
    else if (key === "?") help();
  });
}

function chooseLayout(viewer, name) {
  for (const one of document.querySelectorAll("[data-layout]")) one.setAttribute("aria-pressed", String(one.dataset.layout === name));
  viewer.setLayout(name);
  part("which-box").hidden = name !== "mpr";
  part("which").value = viewer.active;
}

function leaf(viewer, by) {
  if (stepPhase(viewer, by)) announced(() => part("phase-text").textContent);
}

let saying = 0;

// For those who hear the page: where the keys have led, once they rest.
function announce(viewer, pane) {
  announced(() => `${planeTitle(viewer.planeOf(pane))} ${pane.slice.textContent}`);
}

function announced(text) {
  clearTimeout(saying);
  saying = setTimeout(() => { part("said").textContent = text(); }, SAID_AFTER_MS);
}
