// The line to the pool. It notices a dead line, says so, and takes it up again by itself.

const SILENCE = 25_000; // the server says something every ten seconds
const HIDDEN = 60_000; // a page that nobody looks at gives its connection back
const FIRST_RETRY = 1_000;
const LAST_RETRY = 15_000;

/**
 * Calls `on.hello`, `on.update`, `on.history` with what arrives, and `on.state` with "connecting",
 * "on" or "off" as the line changes.
 */
export function live(url, on) {
  let source = null;
  let retry = FIRST_RETRY;
  let watchdog = 0;
  let timer = 0;

  function open() {
    clearTimeout(timer);
    source?.close();
    source = new EventSource(url);
    heard();
    source.addEventListener("error", lost);
    listen("hello", (data) => on.hello(data));
    listen("update", (data) => {
      retry = FIRST_RETRY;
      on.state("on");
      on.update(data);
    });
    listen("history", () => on.history());
    listen("beat", () => {});
  }

  function listen(name, handle) {
    source.addEventListener(name, (event) => {
      heard();
      handle(JSON.parse(event.data));
    });
  }

  function heard() {
    clearTimeout(watchdog);
    watchdog = setTimeout(lost, SILENCE);
  }

  function lost() {
    close();
    on.state("off");
    timer = setTimeout(open, retry);
    retry = Math.min(retry * 1.7, LAST_RETRY);
  }

  function close() {
    clearTimeout(watchdog);
    clearTimeout(timer);
    source?.close();
    source = null;
  }

  function leave() {
    close();
    on.state("connecting");
  }

  let away = 0;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(away);
    if (document.hidden) away = setTimeout(leave, HIDDEN);
    else if (source === null) open();
  });
  window.addEventListener("online", () => source === null && open());
  open();
}
