// What the pages need besides HTML: Airflow's colour mode, and links that leave the frame. Without it, they follow the
// system's colours, and such a link opens inside the frame.

const root = document.documentElement;

/** Airflow keeps what the user chose as "light", "dark" or "system". */
function followAirflow() {
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
  else delete root.dataset.theme;
}

followAirflow();
addEventListener("storage", followAirflow);

/** The frame may not navigate the window around it, so that window's own document follows the link. */
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-airflow]");
  if (!link || parent === window || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const outside = parent.document.createElement("a");
  outside.href = link.href;
  outside.click();
});

/** A field of a filter is sent when it is changed. */
document.addEventListener("change", (event) => {
  if (event.target.form?.matches("[data-filter]") && event.target.matches("select, [type=checkbox]")) {
    event.target.form.requestSubmit();
  }
});
