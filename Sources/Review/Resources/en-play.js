// What the replay says in English.

export default {
  "play.at": "{now} of {all}",
  "play.bar": "Replay",
  "play.close": "Stop playing (p)",
  "play.copy": "Copy link to this moment",
  "play.cut": "cut silences to 3 s",
  "play.empty": "Nothing here has a time to play by.",
  "play.loading": "more is loading",
  "play.next": "Next message (→)",
  "play.paused": "Paused",
  "play.pause": "Pause (space)",
  "play.position": "Position",
  "play.previous": "Previous message (←)",
  "play.speed": "Speed",
  "play.steps": "Your system asks for less motion, so the replay goes step by step: previous and next, without animation.",
  "play.text": "{what}, {n} of {all}, {time}",
  "play.times": "{n}×",
  "play.typing": "Waiting for the answer",
  "play.go": "Play (space)",
};
