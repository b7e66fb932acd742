/** Light or dark: as the system says, until a person chooses. */
import { cell } from "./ui.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const stored = () => localStorage.getItem("wpy.theme");
const wanted = () => (stored() === "dark" || stored() === "light" ? stored() : dark.matches ? "dark" : "light");

export const theme = cell(wanted());
const show = () => {
  document.documentElement.dataset.theme = theme.get();
};
theme.watch(show);
show();
dark.addEventListener("change", () => theme.set(wanted()));

export function toggleTheme() {
  const next = theme.get() === "dark" ? "light" : "dark";
  localStorage.setItem("wpy.theme", next);
  theme.set(next);
}
