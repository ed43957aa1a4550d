// The panel on Airflow's home. Airflow imports this module and shows the component AirflowPlugin, with its own React.

const { createElement: h, useEffect, useState } = globalThis.React;
const here = (path) => new URL(path, import.meta.url).href;
const PAGE = "plugin/rollover";

const card = {
  order: 1,
  padding: "12px 16px",
  border: "1px solid var(--chakra-colors-border)",
  borderRadius: "var(--chakra-radii-md)",
  display: "flex",
  flexWrap: "wrap",
  alignItems: "baseline",
  gap: "4px 24px",
};
const muted = { color: "var(--chakra-colors-fg-muted)", fontSize: "14px" };
const serious = { ...muted, color: "var(--chakra-colors-fg-error)", fontWeight: 600 };

globalThis.AirflowPlugin = function RolloverPanel() {
  const [season, show] = useState(null);
  useEffect(() => {
    let gone = false;
    fetch(here("../totals"))
      .then((response) => (response.ok ? response.json() : null))
      .then((found) => gone || show(found))
      .catch(() => {});
    return () => {
      gone = true;
    };
  }, []);
  if (!season || season.tenants === 0) return null;
  const seasonPage = new URL(PAGE, document.baseURI).href;
  return h(
    "section",
    { "aria-label": "Rollover", style: card },
    h("a", { href: seasonPage, style: { fontWeight: 600, textDecoration: "underline" } }, "Rollover"),
    season.lines.map(({ text, wrong }) => h("a", { key: text, href: seasonPage, style: wrong ? serious : muted }, text)),
  );
};
