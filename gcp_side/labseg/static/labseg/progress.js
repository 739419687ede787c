// Following a request: asks once a second while it is worked on, less often while it waits or the
// page is hidden, slower after failures. Many pages may be open at once.
import * as api from "./api.js";

const WORK_MS = 1000;
const WAITING_MS = 2000;
const HIDDEN_MS = 10000;
const SLOWEST_MS = 30000;
const FIRST_PAUSE_MS = 2000;

export function follow(requestId, { onState, onError }) {
  let timer = 0;
  let failures = 0;
  let ended = false;
  const ask = async () => {
    clearTimeout(timer);
    let waiting = false;
    try {
      const state = await api.get(`status/${requestId}/`);
      waiting = state.state === "pending" || state.state === "submitting";
      failures = 0;
      if (ended) return;
      onState(state);
      if (state.finished) return stop();
    } catch (error) {
      failures += 1;
      if (!ended) onError(error);
    }
    const pause = document.hidden ? HIDDEN_MS : waiting ? WAITING_MS : WORK_MS;
    clearTimeout(timer);
    if (!ended) timer = setTimeout(ask, Math.min(SLOWEST_MS, pause * 2 ** Math.min(failures, 5)));
  };
  const wake = () => { if (!document.hidden && !ended) ask(); };
  const stop = () => {
    ended = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", wake);
  };
  document.addEventListener("visibilitychange", wake);
  ask();
  return stop;
}

// Acts again after a failure that may pass, each time later; a success starts afresh.
export function patience(act) {
  let timer = 0;
  let pause = FIRST_PAUSE_MS;
  const now = () => { timer = 0; act(); };
  // Somebody comes back, perhaps from logging in again in another tab.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden || !timer) return;
    clearTimeout(timer);
    now();
  });
  return {
    failed(error) {
      clearTimeout(timer);
      timer = 0;
      if (!api.mayPass(error)) return;
      timer = setTimeout(now, pause);
      pause = Math.min(SLOWEST_MS, pause * 2);
    },
    done() {
      clearTimeout(timer);
      timer = 0;
      pause = FIRST_PAUSE_MS;
    },
  };
}
