import { expect, test } from "vitest";
import { distance, mapLink, placeText, scaleOf } from "../../src/ui/places";

const t = (key: string, values?: object): string => `${Object.values(values ?? {})}${key.slice(6, 7).toUpperCase()}`;
const place = { latitude: 48.1035, longitude: -1.6725, radius: 25, label: "", until: 0 };

test("a place is written by its quarter of the Earth, in the language's numbers", () => {
  expect(placeText(place, "en", t)).toBe("48.10350N · 1.67250W");
  expect(placeText({ latitude: -33.856789, longitude: 151.2 }, "fr", t)).toBe("33,85679S · 151,20000E");
});

test("a distance is never said shorter than it is", () => {
  expect([0.2, 25, 999, 1701].map((metres) => distance(metres, "en"))).toEqual(["1 m", "25 m", "999 m", "1.8 km"]);
});

test.each([0, 3, 8, 25, 1800, 5_000_000])("a circle of %d m is drawn to the scale that is said", (radius) => {
  const { circle, step, metres } = scaleOf(radius);
  expect(circle).toBeLessThanOrEqual(34.001);
  expect(circle / step).toBeCloseTo(radius / metres);
  expect(step).toBeGreaterThanOrEqual(36);
  expect(step).toBeLessThanOrEqual(100);
  expect(`${metres}`).toMatch(/^[125]0*$/);
});

test("a map is asked for what is shown, and no closer than is known", () => {
  expect(mapLink(place)).toBe("https://www.openstreetmap.org/?mlat=48.10350&mlon=-1.67250#map=18/48.10350/-1.67250");
  expect(mapLink({ ...place, radius: 100_000 })).toContain("#map=8/");
  expect(mapLink({ ...place, radius: 1e9 })).toContain("#map=4/");
});
