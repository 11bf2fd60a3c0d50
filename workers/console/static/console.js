// @ts-check
/**
 * What every page does by itself: pieces that keep up to date, keyboard shortcuts, chosen rows,
 * questions before what cannot be taken back. Pages work without it.
 */

const ROOT = document.documentElement.dataset.root ?? "";
const PLACES = { o: "/", q: "/jobs", d: "/dead-letters", p: "/destinations", w: "/workers" };
const CHORD_MS = 1200;

/**
 * Keeps one element up to date from its address, while the page is looked at.
 * @param {HTMLElement} part
 */
function keepUpToDate(part) {
  const address = /** @type {string} */ (part.dataset.live);
  const everyMs = 1000 * Number(part.dataset.every ?? 5);
  let shown = "";
  let timer = 0;
  let failures = 0;

  /** Somebody is in the middle of something here: leave it alone. */
  const busy = () =>
    part.querySelector("input:checked, details[open] form, dialog[open]") !== null ||
    (part.contains(document.activeElement) && document.activeElement?.matches("input, select, textarea, button"));

  async function look() {
    if (document.hidden) return;
    try {
      const answer = await fetch(address, { headers: { "X-Pulmonode-Refresh": "1" } });
      if (answer.status === 401) return say("Signed out: load the page again.");
      if (!answer.ok) throw new Error(String(answer.status));
      const html = await answer.text();
      failures = 0;
      say("");
      if (html !== shown && !busy()) {
        const open = [...part.querySelectorAll("details[open] > summary")].map((item) => item.textContent);
        part.innerHTML = html;
        for (const item of part.querySelectorAll("details > summary"))
          if (open.includes(item.textContent)) /** @type {HTMLDetailsElement} */ (item.parentElement).open = true;
        shown = html;
        watchForms(part);
        for (const form of part.querySelectorAll("[data-bulk]")) watchChoice(/** @type {HTMLFormElement} */ (form));
      }
    } catch {
      failures += 1;
      say(`No answer from the console since ${new Date().toLocaleTimeString()}; it is asked again.`);
    }
    next();
  }

  function next() {
    clearTimeout(timer);
    timer = setTimeout(look, Math.min(60_000, everyMs * 2 ** Math.min(failures, 5)));
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : look()));
  next();
}

/** @param {string} words Said at the top of the page; nothing takes it away. */
function say(words) {
  let line = document.getElementById("live-said");
  if (!line && !words) return;
  if (!line) {
    line = document.createElement("p");
    line.id = "live-said";
    line.className = "notice warn";
    line.setAttribute("role", "status");
    document.getElementById("main")?.prepend(line);
  }
  line.textContent = words;
  line.hidden = !words;
}

/**
 * Asks before a form or button that says so.
 * @param {ParentNode} where
 */
function watchForms(where) {
  for (const form of where.querySelectorAll("form"))
    form.addEventListener("submit", (event) => {
      const button = /** @type {HTMLElement | null} */ (/** @type {SubmitEvent} */ (event).submitter);
      const question = button?.dataset.ask ?? form.dataset.ask;
      if (question && !confirm(question)) event.preventDefault();
    });
}

/**
 * Rows chosen by check boxes: how many, all at once, and buttons only when there are any.
 * @param {HTMLFormElement} form
 */
function watchChoice(form) {
  const boxes = () => /** @type {HTMLInputElement[]} */ ([...form.querySelectorAll("input[name=job]")]);
  const all = /** @type {HTMLInputElement | null} */ (form.querySelector("[data-all]"));
  const count = form.querySelector("[data-chosen]");
  const tell = () => {
    const chosen = boxes().filter((box) => box.checked).length;
    if (count) count.textContent = `${chosen} chosen`;
    if (all) all.checked = chosen > 0 && chosen === boxes().length;
    for (const button of form.querySelectorAll("[data-needs]"))
      /** @type {HTMLButtonElement} */ (button).disabled = chosen === 0;
  };
  all?.addEventListener("change", () => {
    for (const box of boxes()) box.checked = all.checked;
    tell();
  });
  form.addEventListener("change", tell);
  tell();
}

/** @param {number} step Moves the focus among the rows of the page. */
function moveRow(step) {
  const rows = [...document.querySelectorAll("[data-row]")];
  const here = rows.findIndex((row) => row.contains(document.activeElement));
  const row = rows[Math.max(0, Math.min(rows.length - 1, here < 0 ? 0 : here + step))];
  /** @type {HTMLElement | null | undefined} */ (row?.querySelector("a"))?.focus();
}

function watchKeys() {
  const help = /** @type {HTMLDialogElement | null} */ (document.getElementById("shortcuts"));
  let chord = 0;
  document.querySelector("[data-shortcuts]")?.addEventListener("click", () => help?.showModal());
  document.addEventListener("keydown", (event) => {
    const at = /** @type {HTMLElement} */ (event.target);
    const typing = at.matches("input:not([type=checkbox]):not([type=radio]):not([type=range]), select, textarea");
    if (event.ctrlKey || event.metaKey || event.altKey || typing || help?.open) return;
    const place = PLACES[/** @type {keyof typeof PLACES} */ (event.key)];
    if (chord && event.timeStamp - chord < CHORD_MS && place) {
      location.assign(ROOT + place);
      return;
    }
    chord = event.key === "g" ? event.timeStamp : 0;
    if (event.key === "?") help?.showModal();
    else if (event.key === "/") /** @type {HTMLElement | null} */ (document.querySelector("[data-find]"))?.focus();
    else if (event.key === "j") moveRow(1);
    else if (event.key === "k") moveRow(-1);
    else if (event.key === "x")
      /** @type {HTMLElement | null | undefined} */ (
        document.activeElement?.closest("[data-row]")?.querySelector("input[type=checkbox]")
      )?.click();
    else return;
    event.preventDefault();
  });
}

for (const part of document.querySelectorAll("[data-live]")) keepUpToDate(/** @type {HTMLElement} */ (part));
for (const form of document.querySelectorAll("[data-bulk]")) watchChoice(/** @type {HTMLFormElement} */ (form));
for (const box of document.querySelectorAll("[data-only-changed]"))
  box.addEventListener("change", () =>
    document.querySelector("table.settings")?.classList.toggle("only-changed", /** @type {HTMLInputElement} */ (box).checked),
  );
watchForms(document);
watchKeys();
