// Makes pages quicker for those who use the keyboard. Everything works without it.
"use strict";

(() => {
  const filter = document.getElementById("filter");
  const words = document.getElementById("words");

  // Completes the last term: a list of the browser replaces the whole text, so each entry begins with what stands before.
  if (filter && words) {
    const known = [...words.options].map((option) => option.value);
    filter.addEventListener("input", () => {
      const before = filter.value.slice(0, filter.value.lastIndexOf(" ") + 1);
      words.replaceChildren(...known.map((word) => {
        const option = document.createElement("option");
        option.value = before + word;
        return option;
      }));
    });
  }

  const rows = [...document.querySelectorAll("table.letters tbody tr, section > article")];
  let at = -1;
  const go = (step) => {
    if (rows.length === 0) return;
    rows[at]?.classList.remove("here");
    at = Math.min(Math.max(at + step, 0), rows.length - 1);
    rows[at].classList.add("here");
    rows[at].querySelector("a")?.focus();
  };
  const follow = (selector) => document.querySelector(selector)?.click();
  const keys = {
    "/": () => filter?.focus(),
    j: () => go(1),
    k: () => go(-1),
    x: () => rows[at]?.querySelector("input[type=checkbox]")?.click(),
    n: () => follow("a[rel=next]"),
    p: () => follow("a[rel=prev]"),
  };
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input:not([type=checkbox]), textarea, select");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });

  // A command line is there to be copied.
  for (const code of document.querySelectorAll(".command code")) {
    if (!navigator.clipboard) break;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    });
    code.after(button);
  }
})();
