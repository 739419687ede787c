// The question before series are sent that contradict the profile, or may be the wrong ones.
import { element, part } from "./dom.js";

const { gettext } = globalThis;

// What is sent by `post({})`, and after a person's yes once more with the codes of the reasons that
// were shown; asks again where others have come up meanwhile. Null where the answer is no.
export async function postConfirmed(post) {
  let shown = {};
  for (;;) {
    try {
      return await post(shown);
    } catch (error) {
      if (error.code !== "confirmation-needed") throw error;
      if (!(await ask(error.reasons))) return null;
      shown = { confirm: [...new Set(error.reasons.map((one) => one.code))] };
    }
  }
}

function ask(reasons) {
  const dialog = part("confirm");
  part("confirm-title").textContent = reasons.some((one) => one.contradicts)
    ? gettext("These series contradict the profile")
    : gettext("Please check whether these are the right series");
  part("confirm-reasons").replaceChildren(...reasons.map((one) => element("li", { text: one.text })));
  return new Promise((resolve) => {
    const answer = (yes) => () => dialog.close(yes ? "yes" : "no");
    // Escape closes without a button.
    dialog.returnValue = "no";
    part("confirm-no").onclick = answer(false);
    part("confirm-yes").onclick = answer(true);
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    dialog.showModal();
    part("confirm-no").focus();
  });
}
