// What signing in says in English.

export default {
  "signin.title": "Parley",
  "signin.enter": "Sign in",
  "signin.waitFor": "Again in {time}",
  "signin.name": "Name",
  "signin.password": "Password",
  "signin.linkTitle": "By a one-time link",
  "signin.link": "An administrator of this page can send you a link, or make one where Parley runs and open it in this browser:",
  "signin.linkUsed": "Each link works once. An administrator can send you a new one, or make one where Parley runs:",
  "signin.goesOn": "This page goes on by itself once a link was opened in another tab.",
  "password.text": "With a password you sign in without a link. Your other sessions end.",
  "password.current": "Current password",
  "password.next": "New password",
  "password.again": "New password, again",
  "password.hint": "At least {n} characters. A few words are better than one strange one.",
  "password.differ": "The two aren't the same.",
  "password.saved": "Password saved",
};
