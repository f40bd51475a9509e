// A page with `useChat` of the AI SDK, bundled by tests/test_web_browser.py: the chat is named by `location.hash`.
//
// `chat` is what the hook returns, for the tests to use; what a reader sees stands in the document.

import { createElement, useLayoutEffect } from "react";
import { createRoot } from "react-dom/client";
import { useChat } from "@ai-sdk/react";
import { DefaultChatTransport, lastAssistantMessageIsCompleteWithApprovalResponses } from "ai";

const id = location.hash.slice(1);
const transport = new DefaultChatTransport({ api: "/chats" });

function shown(part, index) {
  const text = part.text ?? part.url ?? JSON.stringify(part.output ?? part.state ?? part.data);
  return createElement("p", { key: index, className: part.type, "data-state": part.state }, text);
}

function Page() {
  const chat = useChat({
    id,
    transport,
    resume: true,
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses,
  });
  useLayoutEffect(() => void (window.chat = chat));
  return createElement(
    "main",
    null,
    chat.messages.map(({ id, role, parts }) =>
      createElement("article", { key: id, id, className: role }, parts.map(shown)),
    ),
    createElement("output", null, chat.status),
    createElement("strong", null, chat.error?.message),
    createElement("button", { onClick: () => fetch(`/chats/${id}/stop`, { method: "POST" }) }, "Stop"),
  );
}

createRoot(document.getElementById("root")).render(createElement(Page));
