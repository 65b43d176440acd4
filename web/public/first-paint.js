// Puts the look of the last visit on the page before it is painted. Its own file: the page's policy allows no inline script.
try {
  const look = JSON.parse(localStorage.getItem("joyn-look") ?? "{}");
  const root = document.documentElement;
  for (const name of ["theme", "operator", "size"]) if (look[name]) root.dataset[name] = look[name];
  if (look.language) root.lang = look.language;
} catch {
  // Storage is closed to this page, or holds something else: the system's look is right.
}
