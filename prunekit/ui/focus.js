// Keeps the focus where a person was. A button that is disabled while it works, and an element that is drawn anew, let it fall to the page,
// from where whoever uses keys alone would have to start again. Widgets are told apart by their keys, which are classes of their boxes.
(() => {
  if (window.keepsFocus) return;
  window.keepsFocus = true;
  let last = "";
  const keyOf = (element) => [...(element.closest("[class*=st-key-]")?.classList ?? [])].find((name) => name.startsWith("st-key-")) ?? "";
  addEventListener("pointerdown", () => { last = ""; }, true); // a click beside everything is meant so
  addEventListener("focusin", ({ target }) => { last = keyOf(target); }, true);
  setInterval(() => {
    const box = last && document.activeElement === document.body && document.querySelector(`.${CSS.escape(last)}`);
    if (!box) return;
    const able = box.querySelector("button:not([disabled]), input:not([disabled]), textarea:not([disabled]), [tabindex='0']");
    if (!able) box.tabIndex = -1;
    (able ?? box).focus({ preventScroll: true });
  }, 150);
})();
