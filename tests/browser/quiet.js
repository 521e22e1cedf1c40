// Listens to what the page and the server say to each other, so that a test knows when nothing is under way.
//
// A rerun that was asked for is under way until a run that began later has ended, and not early for another one; a rerun of the whole
// page is not answered by the run of a fragment. What the page asks for by itself, to show the progress of a job, does not count. The
// server is silent about some reruns: of a fragment that is gone by then, and of a page whose end meets the next progress of a job.
// These are given up once nothing runs. The messages are protobuf: field 11 of a BackMsg is "rerun_script", whose fields 5 and 6 are
// "fragment_id" and "is_auto_rerun"; 4 and 6 of a ForwardMsg are "new_session" and "script_finished".
//
// Widgets report an act some tenths of a second later. Calm is counted in turns of the page's own clock, for on a busy machine the page
// may not have had its turn when that time is over.
(() => {
  const RERUN = 11, FRAGMENT = 5, BY_ITSELF = 6, NEW_SESSION = 4, FINISHED = 6, EARLY_FOR_RERUN = 2, FRAGMENT_RUN = 3;
  const TURN_MS = 50, TURNS = 7, STILL_MS = 300, LOST_MS = 5000;
  let asked = 0, waiting = [], seen = 0, again = false, calm = 0, lastNews = 0, lastChange = 0, lastIdle = 0;
  const now = () => performance.now();
  const news = () => { lastNews = now(); calm = 0; };

  const fields = (bytes, found) => {
    let at = 0;
    const number = () => {
      let value = 0, scale = 1, byte;
      do { byte = bytes[at++]; value += (byte & 127) * scale; scale *= 128; } while (byte & 128);
      return value;
    };
    while (at < bytes.length) {
      const tag = number(), wire = tag % 8, value = wire === 1 ? 8 : wire === 5 ? 4 : number();
      found(Math.floor(tag / 8), value, at);
      if (wire !== 0) at += value;
    }
  };
  const finished = (how) => {
    const left = waiting.filter((rerun) => rerun.number > seen || how === EARLY_FOR_RERUN || (how === FRAGMENT_RUN && !rerun.fragment));
    if (left.length < waiting.length || again || how === EARLY_FOR_RERUN) news();
    waiting = left;
    again = how === EARLY_FOR_RERUN;
  };
  const heard = (bytes) => fields(bytes, (field, value) => {
    if (field === NEW_SESSION) seen = asked;
    if (field === FINISHED) finished(value);
  });
  const said = (bytes) => fields(bytes, (field, size, at) => {
    if (field !== RERUN) return;
    let fragment = false, byItself = false;
    fields(bytes.subarray(at, at + size), (inner, value) => {
      if (inner === FRAGMENT) fragment = value > 0;
      if (inner === BY_ITSELF) byItself = value !== 0;
    });
    if (!byItself) { waiting.push({ number: ++asked, fragment, at: now() }); news(); }
  });

  const Socket = window.WebSocket;
  window.WebSocket = class extends Socket {
    constructor(...how) {
      super(...how);
      this.addEventListener("message", ({ data }) => { if (data instanceof ArrayBuffer) heard(new Uint8Array(data)); });
    }
    send(data) {
      if (data instanceof Uint8Array) said(data);
      super.send(data);
    }
  };

  const isIdle = () => document.querySelector('[data-testid="stApp"][data-test-script-state="notRunning"]') !== null;
  new MutationObserver(() => {
    lastChange = now();
    if (isIdle()) lastIdle = lastChange;
  }).observe(document, { childList: true, subtree: true, attributes: true, characterData: true });
  const shown = (element) => element.offsetParent !== null;
  // A picture is drawn by code that is loaded when the first one is needed, and takes its height then: what is below it moves.
  const drawn = () =>
    now() - lastChange > STILL_MS &&
    !document.querySelector('[data-testid="stSkeleton"]') &&
    [...document.querySelectorAll('[data-testid="stPlotlyChart"]')].every((chart) => !shown(chart) || chart.querySelector(".main-svg"));
  const settled = () => {
    if (isIdle()) {
      waiting = waiting.filter((rerun) => now() - rerun.at < LOST_MS);
      again = again && now() - lastNews < LOST_MS;
    }
    return asked > 0 && !waiting.length && !again && (isIdle() || lastIdle > lastNews) && document.querySelector("h1") !== null;
  };
  setInterval(() => { calm = settled() ? calm + 1 : 0; }, TURN_MS);
  for (const act of ["pointerdown", "pointerup", "keydown", "input", "change", "popstate"]) addEventListener(act, () => { calm = 0; }, true);
  window.quiet = (pictures) => calm >= TURNS && (!pictures || drawn());
})();
