// Light or dark, as the system has it or as it was chosen here.

const KEY = "edgechess-theme";

export function theme(button) {
  const stored = window.localStorage.getItem(KEY);
  if (stored) document.documentElement.dataset.theme = stored;
  button?.addEventListener("click", () => {
    const dark = document.documentElement.dataset.theme
      ? document.documentElement.dataset.theme === "dark"
      : window.matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    window.localStorage.setItem(KEY, document.documentElement.dataset.theme);
  });
}
