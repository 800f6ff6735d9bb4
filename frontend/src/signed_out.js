// For answers to requests of scripts: whether the session has ended. The page then shows its bar, see session_expiry.js.

export const SIGNED_OUT = "You are signed out. Sign in again; what you typed is still here.";

/** Of the API (401) or of a page, which leads to the sign-in page. */
export function isSignedOut(response) {
  const isOut = response.status === 401 || new URL(response.url || location.href, location.href).pathname === "/sign-in/";
  if (isOut) document.dispatchEvent(new Event("cronium:signed-out"));
  return isOut;
}
