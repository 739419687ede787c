// The page of a study: choose the series, send, watch, look at the result.
import * as api from "./api.js";
import { postConfirmed } from "./confirm.js";
import { clock, element, fill, number, part, profileTitle, roleTitle, say, stateName, volumes } from "./dom.js";
import { connectPhases, drawPhases, drawWhich, phasesOf, sideTitle } from "./phases.js";
import { follow, patience } from "./progress.js";
import { connectTools, showPosition } from "./tools.js";
import { Viewer } from "./viewer.js";

const { gettext } = globalThis;
const config = JSON.parse(document.getElementById("labseg-config").textContent);

const page = { study: null, profiles: [], chosen: {}, shown: null, current: null, urgent: false, step: 0, stop: null };
const viewer = new Viewer(part("panes"), { onMove: showPosition, onPhase: drawPhase, onFailure: (error) => looking.failed(error) });
const starting = patience(start);
const looking = patience(loadViewer);

function drawPhase() {
  drawPhases(viewer);
  drawWhich(viewer);
}

async function start() {
  try {
    const [offers, usual] = await Promise.all([api.get("profiles/"), api.get(`studies/${config.study}/`)]);
    page.profiles = offers.profiles;
    const study = await withLastProfile(usual);
    starting.done();
    part("task").replaceChildren();
    take(study);
    const latest = study.requests[0];
    if (latest && !latest.finished) watch(latest);
    else if (latest && latest.state !== "succeeded") showEnded(latest);
    show(study.requests.find((one) => one.state === "succeeded") ?? null);
    drawChoice();
  } catch (error) {
    part("task").replaceChildren(refusalCard(error, [button(gettext("Try again"), start)]));
    starting.failed(error);
  }
}

const studyFor = (profile) => api.get(`studies/${config.study}/?profile=${encodeURIComponent(profile)}`);

// The study with the roles of the profile that was asked for last, where that is still on offer.
async function withLastProfile(study) {
  const last = study.requests[0]?.profile;
  const isOther = last !== study.profile && page.profiles.some((one) => one.name === last);
  return isOther ? studyFor(last) : study;
}

function take(study) {
  page.study = study;
  const last = lastChoice(study);
  page.chosen = Object.fromEntries(study.roles.map((one) => [one.role, last[one.role] ?? one.series_id]));
  const { patient_name: name, patient_id: id, date, description } = study.study;
  part("study-title").textContent = [String(name).replaceAll("^", " ").split("=")[0], id, date, description].filter(Boolean).join("  ·  ");
  drawForm();
  drawHistory();
  drawLink();
}

// To the other viewer: the study, and the segmentation that is shown.
function drawLink() {
  const uid = page.study.study.study_instance_uid;
  part("ohif").hidden = !(config.ohif && uid);
  if (!config.ohif || !uid) return;
  const address = new URL(config.ohif);
  address.searchParams.set("StudyInstanceUIDs", uid);
  const seg = page.shown?.seg_series_instance_uid;
  if (seg) address.searchParams.set("initialSeriesInstanceUID", seg);
  part("ohif").href = address.href;
}

// The series that were sent last for this profile, by role.
function lastChoice(study) {
  const there = new Set(choices(study).map((one) => one.id));
  const sent = study.requests.find((one) => one.profile === study.profile)?.series ?? [];
  return Object.fromEntries(sent.filter((one) => there.has(one.volume_id)).map((one) => [one.role, one.volume_id]));
}

// Sending -----------------------------------------------------------------------------

// What can be chosen: a series, or each volume of one that holds several.
function choices(study) {
  return study.series.filter((item) => item.modality === "MR").flatMap((item) => {
    const name = item.description || gettext("no description");
    const held = item.parts?.volumes ?? [];
    if (held.length < 2) return [{ id: held[0]?.volume_id ?? item.series_id, text: `${item.number} · ${name} (${held[0]?.images ?? item.images})` }];
    // The number first: a long description is cut off.
    return held.map((one, index) => ({ id: one.volume_id, text: [fill(gettext("%(series)s: volume %(number)s of %(count)s"),
      { series: item.number, number: index + 1, count: held.length }), sideTitle(one.side), `${name} (${one.images})`].filter(Boolean).join(" · ") }));
  });
}

// What each series of several volumes holds, and which of them are chosen.
function drawParts() {
  const chosen = Object.values(page.chosen);
  const lines = page.study.series.filter((item) => item.modality === "MR" && item.parts).map((item) => {
    const used = item.parts.volume_ids.flatMap((id, index) => chosen.includes(id) ? [index + 1] : []);
    const text = item.parts.code ? `${item.parts.text} ${item.parts.remedy}` : item.parts.text;
    const line = fill(gettext("Series %(number)s: %(text)s"), { number: item.number, text });
    return element("li", { class: item.parts.code ? "warning" : "", text: used.length ? `${line} · ${fill(gettext("used: %(numbers)s"), { numbers: ranges(used) })}` : line });
  });
  part("parts").hidden = !lines.length;
  part("parts").replaceChildren(...lines);
}

// 1, 2, 3, 5 as 1–3, 5.
function ranges(numbers) {
  const runs = [];
  for (const one of numbers) {
    const last = runs.at(-1);
    if (last && one === last[1] + 1) last[1] = one;
    else runs.push([one, one]);
  }
  return runs.map(([first, last]) => first === last ? first : `${first}–${last}`).join(", ");
}

const profile = () => page.profiles.find((one) => one.name === page.study.profile);

function drawForm() {
  const fields = page.study.roles.map((one) => roleField(one));
  const profiles = page.profiles.length > 1 && element("label", { class: "field" }, element("span", { text: gettext("Profile") }),
    element("select", { id: "profile", autocomplete: "off", onchange: (event) => chooseProfile(event.target.value) },
      ...page.profiles.map((one) => element("option", { value: one.name, selected: one.name === page.study.profile, text: profileTitle(one) }))));
  const parts = element("ul", { id: "parts", class: "why", "aria-label": gettext("Volumes of the series"), hidden: true });
  part("form").replaceChildren(...[profiles || null, ...fields, parts, urgency()].filter(Boolean));
  drawParts();
  part("use").textContent = say(profile()?.intended_use);
  drawBanner();
  drawButton();
}

// Whether it is served before other requests; for those who may change requests.
function urgency() {
  if (!config.may.change) return null;
  const tick = element("input", { type: "checkbox", id: "urgent", autocomplete: "off", checked: page.urgent, onchange: (event) => { page.urgent = event.target.checked; } });
  return element("label", { class: "row" }, tick, ` ${gettext("Urgent: before all other requests")}`);
}

function roleField(one) {
  const select = element("select", { id: `role-${one.role}`, autocomplete: "off", "aria-describedby": `why-${one.role}`, onchange: (event) => {
    page.chosen[one.role] = event.target.value || null;
    drawEvidence(one);
    drawParts();
    drawButton();
    if (!page.shown) loadViewer();
  } },
  element("option", { value: "", text: gettext("— choose —") }),
  ...choices(page.study).map((item) => element("option", { value: item.id, selected: item.id === page.chosen[one.role], text: item.text })));
  const field = element("div", { class: "field", id: `field-${one.role}` }, element("label", { for: select.id, text: roleTitle(one) }), select,
    element("p", { class: "why", id: `why-${one.role}` }));
  drawEvidence(one, field);
  return field;
}

// Why this series: what was recognised, unless a person chose another.
function drawEvidence(one, field = part(`field-${one.role}`)) {
  const isRecognised = page.chosen[one.role] === one.series_id;
  const sureness = { certain: gettext("certain"), likely: gettext("likely"), guess: gettext("please check"), none: gettext("not recognised") }[one.confidence];
  field.classList.toggle("is-unsure", isRecognised && ["guess", "none"].includes(one.confidence));
  field.querySelector(".why").replaceChildren(...(isRecognised ? [element("b", { text: sureness }), ` · ${one.evidence}`] : [element("b", { text: gettext("chosen by hand") })]));
}

async function chooseProfile(name) {
  try {
    take(await studyFor(name));
    if (!page.shown) loadViewer();
  } catch (error) {
    part("task").replaceChildren(refusalCard(error, []));
  }
}

function problem() {
  const ids = Object.values(page.chosen);
  if (ids.some((id) => !id)) return gettext("Choose a series for each role.");
  if (new Set(ids).size < ids.length) return gettext("The same series is chosen twice.");
  return "";
}

const isBusy = () => Boolean(page.current && !page.current.finished);

// The form makes room for the progress and for the result.
function drawChoice() {
  part("choice").hidden = false;
  part("choice").open = !page.shown && !isBusy();
}

function drawButton() {
  const busy = isBusy();
  const why = problem();
  part("send").hidden = !config.may.add;
  part("send").disabled = Boolean(busy || why);
  part("send").textContent = page.study?.requests.some((one) => one.state === "succeeded") ? gettext("Segment again") : gettext("Segment tumour");
  part("send-why").textContent = busy || !config.may.add ? "" : why;
}

async function send() {
  part("send").disabled = true;
  try {
    const wanted = { profile: page.study.profile, series: page.chosen, ...(page.urgent ? { priority: config.urgent } : {}) };
    const sent = await postConfirmed((more) => api.post(`studies/${config.study}/segment/`, { ...wanted, ...more }));
    if (sent) return watch({ ...sent, state: sent.status, finished: false });
    drawButton();
    part("send").focus();
  } catch (error) {
    part("task").replaceChildren(refusalCard(error, [button(gettext("Try again"), send)]));
    drawButton();
  }
}

// Progress ----------------------------------------------------------------------------

// By the number that the site gives each stage.
const STEPS = () => [gettext("Waiting"), gettext("Download"), gettext("Segmentation"), gettext("Storing the result")];

function watch(request) {
  page.stop?.();
  page.current = request;
  drawButton();
  drawBadge();
  drawChoice();
  drawProgress(request);
  page.stop = follow(request.request_id, {
    onState: (state) => {
      page.current = state;
      if (state.finished) finished(state);
      else drawProgress(state);
    },
    onError: (error) => { part("task-error").textContent = api.explained(error); },
  });
}

function sentence(state) {
  if (state.cancel_requested_at) return gettext("Cancelling …");
  // The site writes another clock's time.
  if (state.waiting?.since) return fill(gettext("waiting: no agent online since %(time)s"), { time: clock(state.waiting.since) });
  if (state.waiting) return fill(gettext("waiting: %(why)s"), { why: state.waiting.text });
  if (state.state !== "claimed") return gettext("waiting");
  // A newer agent may have stages that this site does not know.
  const what = config.stages[state.stage || "claimed"]?.text ?? fill(gettext("working (%(stage)s)"), { stage: state.stage });
  const amount = state.total ? ` ${state.done}/${state.total}` : state.percent ? ` ${state.percent} %` : "";
  return fill(gettext("%(what)s on %(agent)s"), { what: what + amount, agent: state.agent });
}

function drawProgress(state) {
  page.step = state.state === "claimed" ? config.stages[state.stage]?.step ?? Math.max(1, page.step) : 0;
  const at = page.step;
  const share = state.total ? state.done / state.total : state.percent / 100;
  const text = sentence(state);
  if (!part("task-steps")) {
    part("task").replaceChildren(element("section", { class: "card", "aria-label": gettext("Progress") },
      element("p", { id: "task-text", role: "status" }), element("progress", { id: "task-bar", max: "100", "aria-label": gettext("Progress of this step") }),
      element("ol", { id: "task-steps", class: "steps" }), element("p", { id: "task-error", class: "warning", role: "status" }),
      config.may.change ? button(gettext("Cancel"), cancel, { id: "cancel" }) : null));
  }
  if (part("task-text").textContent !== text) part("task-text").textContent = text;
  if (at && share >= 0) part("task-bar").value = 100 * share;
  else part("task-bar").removeAttribute("value");
  part("task-error").textContent = "";
  part("task-steps").replaceChildren(...STEPS().map((title, index) => element("li", { class: index < at ? "is-done" : index === at ? "is-now" : "", "aria-current": index === at ? "step" : null, text: title })));
  if (config.may.change) part("cancel").disabled = Boolean(state.cancel_requested_at);
}

async function cancel() {
  part("cancel").disabled = true;
  try {
    await api.post(`requests/${page.current.request_id}/cancel/`);
  } catch (error) {
    part("task-error").textContent = api.explained(error);
    part("cancel").disabled = false;
  }
}

async function finished(state) {
  const study = await studyFor(page.study.profile).catch(() => null);
  if (study) page.study = study;
  drawHistory();
  drawButton();
  if (state.state !== "succeeded") {
    showEnded(state);
    return drawChoice();
  }
  part("task").replaceChildren();
  show(state);
  drawChoice();
}

function showEnded(state) {
  const again = button(gettext("Retry"), async () => {
    try {
      const sent = await postConfirmed((more) => api.post(`requests/${state.request_id}/retry/`, more));
      if (sent) return watch({ ...sent, state: sent.status ?? "pending", finished: false });
      part("retry").focus();
    } catch (error) {
      part("task").replaceChildren(refusalCard(error, [button(gettext("Try again"), () => showEnded(state))]));
    }
  }, { id: "retry" });
  const { reason, remedy, detail } = state.failure ?? {};
  const title = state.state === "cancelled" ? gettext("The request was cancelled.") : gettext("The segmentation failed.");
  part("task").replaceChildren(failureCard(title, { text: [reason, remedy].filter(Boolean).join(" "), detail, mild: state.state === "cancelled" }, config.may.change ? [again] : []));
}

// The detail is in English, whatever the page's language.
function failureCard(title, { text = "", detail = "", mild = false }, actions) {
  return element("section", { class: `card ${mild ? "is-mild" : "is-failure"}`, role: "alert" }, element("b", { text: title }), element("p", { text }),
    detail ? element("p", { class: "why", lang: "en", text: detail }) : null, ...actions);
}

const refusalCard = (error, actions) => failureCard(error.message, { text: api.whatNow(error), detail: error.detail }, actions);

function button(text, act, attributes = {}) {
  return element("button", { type: "button", class: "second", text, onclick: act, ...attributes });
}

// Result ------------------------------------------------------------------------------

function show(request) {
  page.shown = request;
  drawBanner();
  drawLink();
  drawResult();
  drawHistory();
  loadViewer();
}

function loadViewer() {
  const roles = page.study.roles;
  const ids = page.shown ? page.shown.series : roles.map((one) => ({ role: one.role, volume_id: page.chosen[one.role] }));
  viewer.linked = ids.every((one) => one.role.startsWith("dce"));
  const titles = new Map(page.profiles.flatMap((one) => one.roles).map((one) => [one.role, one.title]));
  const chosen = ids.map((one) => ({ id: one.volume_id, role: one.role }));
  const titleOf = ({ role }) => roleTitle({ role, title: titles.get(role) });
  const phases = phasesOf(chosen, page.study.series, { linked: viewer.linked, roleTitle: titleOf });
  const series = chosen.slice(0, 4).map((one, index) => ({ id: one.id, title: titleOf(one), phases: phases[index] }));
  while (series.length < 4) series.push({ id: null, title: "", phases: [] });
  // Enhancement shows after contrast.
  if (page.lookedAt !== page.study.profile) viewer.active = viewer.linked ? 1 : 0;
  page.lookedAt = page.study.profile;
  viewer.load(series, page.shown?.seg_instance_id).then(() => {
    drawResult();
    const error = viewer.failure;
    if (error) looking.failed(error);
    else looking.done();
  });
}

// In large letters, while such a profile is chosen or its result is shown.
function drawBanner() {
  part("not-for-patients").hidden = isForPatients({ profile: page.study.profile }) && (!page.shown || isForPatients(page.shown));
  part("trained-on-synthetic").hidden = !isSynthetic({ profile: page.study.profile }) && !(page.shown && isSynthetic(page.shown));
}

// By the result itself; one of an older agent says nothing, but its profile does.
const isForPatients = (request) => request.for_patients !== false && page.profiles.find((one) => one.name === request.profile)?.for_patients !== false;
const isSynthetic = (request) => request.trained_on_synthetic === true || page.profiles.find((one) => one.name === request.profile)?.trained_on_synthetic === true;

function drawConfirmed(request) {
  const reasons = request.confirmed ?? [];
  part("confirmed").hidden = !reasons.length;
  const isAgainst = reasons.some((one) => one.contradicts);
  part("confirmed").classList.toggle("is-failure", isAgainst);
  const title = isAgainst
    ? gettext("The series contradict the profile; %(who)s confirmed them:")
    : gettext("Not certain to be the right series; %(who)s confirmed them:");
  part("confirmed-title").textContent = fill(title, { who: request.confirmed_by });
  part("confirmed-reasons").replaceChildren(...reasons.map((one) => element("li", { text: one.text })));
}

function drawResult() {
  const box = part("result");
  const request = page.shown;
  box.hidden = !request;
  if (!request) return;
  drawBadge();
  drawConfirmed(request);
  const measured = new Map((request.segments ?? []).map((one) => [one.number, one]));
  const titles = new Map((page.profiles.find((one) => one.name === request.profile)?.segments ?? []).map((one) => [one.number, say(one.title)]));
  const rows = (viewer.overlay?.segments ?? request.segments ?? []).map((one) => segmentRow(one, measured.get(one.number) ?? one, titles.get(one.number) ?? one.label));
  part("segments").replaceChildren(...rows);
  part("warnings").hidden = !request.warnings?.length;
  part("warnings").replaceChildren(...(request.warnings ?? []).map((text) => element("li", { text })));
  part("no-tumour").hidden = request.tumour_found !== false;
  part("report").textContent = reportSentence(request.report_instance_id);
  part("jump").disabled = !viewer.overlay?.centre;
  if (viewer.overlayError) part("segments").append(element("tr", {}, element("td", { colspan: 3, class: "warning", text: viewer.overlayError.message })));
}

function reportSentence(report) {
  if (!report) return "";
  if (page.study.missing_reports.includes(report)) return gettext("The report of the measurements (DICOM SR) is no longer in Orthanc.");
  return gettext("The measurements also lie in Orthanc as a report (DICOM SR).");
}

// What is shown is not, or will soon not be, the newest result.
function drawBadge() {
  const request = page.shown;
  const newest = page.study.requests.find((one) => one.state === "succeeded")?.request_id;
  const isOld = request && (newest !== request.request_id || isBusy());
  part("previous").hidden = !isOld;
  if (isOld) part("previous").textContent = fill(gettext("Previous result, %(time)s"), { time: clock(request.finished_at ?? request.updated_at) });
}

function segmentRow(one, measured, title) {
  const tick = element("input", { type: "checkbox", id: `segment-${one.number}`, checked: !viewer.hidden.has(one.number), onchange: (event) => {
    viewer.hidden[event.target.checked ? "delete" : "add"](one.number);
    viewer.draw();
  } });
  const dot = element("i", { class: "dot" });
  dot.style.backgroundColor = `rgb(${(one.colour ?? [255, 64, 64]).join()})`;
  const longest = measured.longest_diameter_mm;
  return element("tr", {}, element("td", {}, tick, element("label", { for: `segment-${one.number}` }, dot, title)),
    element("td", { text: `${number(measured.volume_ml, 2)} ml` }), element("td", { text: longest == null ? "–" : `${number(longest, 1)} mm` }));
}

function drawHistory() {
  const list = page.study?.requests ?? [];
  part("history-box").hidden = !list.length;
  part("history").replaceChildren(...list.map((one) => element("li", { class: page.shown?.request_id === one.request_id ? "is-shown" : "" },
    element("span", { text: clock(one.submitted_at) }), element("span", { class: `state is-${one.state}`, text: stateName(one.state) }), element("span", { text: volumes({ ...one, for_patients: isForPatients(one), trained_on_synthetic: isSynthetic(one) }) }),
    one.state === "succeeded" ? button(gettext("Show"), () => show(one), { "aria-label": fill(gettext("Show the result of %(time)s"), { time: clock(one.submitted_at) }) }) : null)));
}

part("send").addEventListener("click", send);
connectTools(viewer);
connectPhases(viewer);
start();
