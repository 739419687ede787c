// Following a request: asks once a second, every ten while the page is hidden, slower after failures.
import * as api from "./api.js";

const SEEN_MS = 1000;
const HIDDEN_MS = 10000;
const SLOWEST_MS = 30000;

export function follow(requestId, { onState, onError }) {
  let timer = 0;
  let failures = 0;
  let ended = false;
  const ask = async () => {
    clearTimeout(timer);
    try {
      const state = await api.get(`status/${requestId}/`);
      const agents = state.state === "pending" || state.state === "submitting" ? await api.get("agents/") : null;
      failures = 0;
      if (ended) return;
      onState(state, agents);
      if (state.finished) return stop();
    } catch (error) {
      failures += 1;
      if (!ended) onError(error);
    }
    if (!ended) timer = setTimeout(ask, Math.min(SLOWEST_MS, (document.hidden ? HIDDEN_MS : SEEN_MS) * 2 ** Math.min(failures, 5)));
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
