// Who looks: the form for a token, where the judge asks for one. The token goes into a
// cookie that no script can read.

const $ = (id) => document.getElementById(id);
const PATIENCE_MS = 5000;

const session = (method, headers = {}) =>
  fetch("v1/session", { method, headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });

let role = null;
// A form on a page that is about to be loaded anew would lose what is typed into it.
let leaving = false;
/** Who may only look gets no buttons. */
export const mayDecide = () => role !== "viewer";

/** Whether the judge lets this browser look; shows the form if not. */
export async function letIn() {
  const answer = await session("GET");
  if (leaving) return false;
  const known = answer.ok ? await answer.json() : null;
  $("login").hidden = answer.status !== 401;
  $("who").hidden = !known?.guarded;
  role = known?.role ?? null;
  if (known) $("who-name").textContent = `${known.name} (${known.role})`;
  return answer.status !== 401;
}

/** Calls `again` when somebody has come or gone. */
export function onChange(again) {
  $("login").addEventListener("submit", async (event) => {
    event.preventDefault();
    const said = $("login-error");
    said.textContent = "";
    try {
      const token = $("token").value.trim();
      const answer = await session("POST", { authorization: `Bearer ${token}` });
      if (answer.ok) {
        $("token").value = "";
        again();
      } else {
        const problem = await answer.json().catch(() => null);
        said.textContent = problem?.detail ?? `The judge answered ${answer.status}.`;
      }
    } catch {
      said.textContent = "The judge does not answer.";
    }
  });
  $("leave").addEventListener("click", async () => {
    leaving = true;
    await session("DELETE").catch(() => null);
    location.reload();
  });
}
