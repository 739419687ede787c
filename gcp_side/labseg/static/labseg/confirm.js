// The question before series are sent that contradict the profile.
import { element, part } from "./dom.js";

// What is sent by `post({})`, and after a person's yes once more by `post({ confirm: true })`;
// null where the answer is no.
export async function postConfirmed(post) {
  try {
    return await post({});
  } catch (error) {
    if (error.code !== "confirmation-needed") throw error;
    return (await ask(error.reasons)) ? post({ confirm: true }) : null;
  }
}

function ask(reasons) {
  const dialog = part("confirm");
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
