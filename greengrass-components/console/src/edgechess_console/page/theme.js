// Light or dark: as it was chosen here, else as the system has it, also when that changes.

const KEY = "edgechess-theme";
const system = window.matchMedia("(prefers-color-scheme: dark)");

function apply() {
  const chosen = window.localStorage.getItem(KEY);
  document.documentElement.dataset.theme = chosen ?? (system.matches ? "dark" : "light");
}

export function theme(button) {
  apply();
  system.addEventListener("change", apply);
  button?.addEventListener("click", () => {
    window.localStorage.setItem(KEY, document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    apply();
  });
}
