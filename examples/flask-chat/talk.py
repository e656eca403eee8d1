"""What the program itself says: a stand-in for whatever answers in a real chat. And what it looks out
for: words after which a person has to read the conversation."""

import re

ALARM = re.compile(r"\b(suicid\w*|kill myself|hurt myself|harm myself|end my life|can'?t go on|hopeless)\b",
                   re.IGNORECASE)

ALARM_NOTICE = ("Thank you for telling us. A person reads this and will answer you here. "
                "If you are in danger, please call your local emergency number now.")
WAIT_NOTICE = "Somebody will answer you here in a moment."

_RULES = (
    (r"\b(hello|hi|hey|good (morning|evening))\b", "Hello {name}! What can I do for you today?"),
    (r"\b(thanks|thank you)\b", "You are welcome, {name}."),
    (r"\b(price|cost|pay)\w*\b", "The basic plan is free. Would you like to know what the others offer?"),
    (r"\b(password|log ?in|account)\b", "I can help with your account. What happens when you log in?"),
    (r"\b(bye|good night)\b", "Good bye, {name}. This conversation stays here until you log out."),
    (r"\?\s*$", "Good question. Could you tell me a little more about it?"),
)


def is_alarming(text):
    return ALARM.search(text) is not None


def reply(name, text):
    for pattern, answer in _RULES:
        if re.search(pattern, text, re.IGNORECASE):
            return answer.format(name=name)
    return f"I see. Go on, {name}, I am listening."
