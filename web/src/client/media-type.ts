/** How a media type is shown: what both the client and the interface go by. */

/** What every browser draws. SVG is a document, and may hold anything. */
const DRAWN = /^image\/(?:jpeg|png|gif|webp|avif)$/;
/** What phones take photos in and most browsers do not draw: the content server has a thumbnail and a shown form. */
const PHOTO = /^image\/hei[cf]$/;
/** What says nothing of a file; browsers have no type for a photo of a phone's, either. */
const UNKNOWN = /^(?:|application\/octet-stream|binary\/octet-stream)$/;

/** A photo or a drawing, shown as such; the rest is a file. */
export function isPicture(type: string): boolean {
  return DRAWN.test(type) || PHOTO.test(type);
}

/** Whether every browser draws the file as it is. */
export function isDrawn(type: string): boolean {
  return DRAWN.test(type);
}

/** The media type of a file, in lower case; by its name where nothing else says that it is a photo. */
export function typeOf(said: string, name: string): string {
  const type = said.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  const photo = UNKNOWN.test(type) ? /\.(hei[cf])$/i.exec(name.trim())?.[1] : undefined;
  return photo === undefined ? type || "application/octet-stream" : `image/${photo.toLowerCase()}`;
}
