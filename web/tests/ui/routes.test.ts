import { describe, expect, it } from "vitest";
import { conversationPath, readRoute } from "../../src/ui/routes";

describe("addresses", () => {
  it.each(["tel:+33639980002", "sip:lea@joyn.example", "sip:a/b?c@joyn.example"])("lead to %s and back", (id) => {
    expect(readRoute(conversationPath(id))).toEqual({ at: "conversation", id, info: false });
    expect(readRoute(conversationPath(id, true))).toEqual({ at: "conversation", id, info: true });
  });

  it("write a number as such", () => {
    expect(conversationPath("tel:+33639980002")).toBe("/c/+33639980002");
  });

  it("name a message", () => {
    const path = conversationPath("tel:+33639980002", false, "a&b=c");
    const url = new URL(path, "https://joyn.example");
    expect(readRoute(url.pathname, url.search)).toMatchObject({ message: "a&b=c" });
  });

  it.each(["/", "/c/", "/c/%E0%A4%A", "/nothing"])("%s is the list", (path) => {
    expect(readRoute(path)).toEqual({ at: "chats" });
  });

  it("know the pages of the settings", () => {
    expect(readRoute("/settings/devices")).toEqual({ at: "settings", page: "devices" });
    expect(readRoute("/settings/unheard-of")).toEqual({ at: "settings" });
  });
});
