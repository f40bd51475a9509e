import { memo, useEffect, useState } from 'react';
import { Markdown } from './markdown.jsx';
import { textOf } from './store.js';

// Ends that are no failure, but not the whole answer either.
const ENDS = {
  length: 'The answer is cut off: the model has reached its longest output.',
  context_exceeded: 'The answer is cut off: the conversation has reached what the model can take in.',
  sensitive: 'The platform has withheld the rest of this answer for its content.',
  tool_calls: 'The model has asked for a tool that this page does not have.',
};
const MOST_SHOWN = 20_000; // characters of what a tool has returned

const seconds = (milliseconds) => {
  const whole = Math.max(0, Math.round(milliseconds / 1000));
  if (!whole) return 'a moment';
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
};

function useNow(isRunning) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    if (!isRunning) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, [isRunning]);
  return now;
}

export const Turn = memo(function Turn({ message, handlers, isBusy, isStreaming, waiting }) {
  const isUser = message.role === 'user';
  return (
    <article className={`turn ${message.role}`} aria-label={isUser ? 'You' : 'Answer'} data-id={message.id}>
      {isUser
        ? <Question message={message} handlers={handlers} isBusy={isBusy} />
        : <Answer message={message} handlers={handlers} isBusy={isBusy} isStreaming={isStreaming} waiting={waiting} />}
    </article>
  );
});

function Question({ message, handlers, isBusy }) {
  const [draft, setDraft] = useState(null);
  const text = textOf(message);
  const files = message.parts.filter((part) => part.type === 'file');
  if (draft !== null) {
    const submit = (event) => {
      event.preventDefault();
      setDraft(null);
      if (draft.trim()) handlers.edit(message, draft);
    };
    const pressed = (event) => {
      if (event.key === 'Escape') setDraft(null);
      if (event.key === 'Enter' && !event.shiftKey && !event.nativeEvent.isComposing) submit(event);
    };
    return (
      <form className="editor" onSubmit={submit}>
        <textarea aria-label="Edit the question" value={draft} autoFocus
          onFocus={({ target }) => target.setSelectionRange(target.value.length, target.value.length)} onChange={(event) => setDraft(event.target.value)} onKeyDown={pressed} />
        <p>
          <button type="button" className="quiet" onClick={() => setDraft(null)}>Cancel</button>
          <button type="submit">Send</button>
        </p>
      </form>
    );
  }
  return (
    <>
      {files.map((part, index) => <Media key={index} part={part} />)}
      {text && <p className="said">{text}</p>}
      <p className="actions">
        <Copy text={text} />
        {!isBusy && <button type="button" className="quiet edit" onClick={() => setDraft(text)}>Edit</button>}
      </p>
    </>
  );
}

function Answer({ message, handlers, isBusy, isStreaming, waiting }) {
  const facts = message.metadata ?? {};
  const { parts } = message;
  const sources = parts.filter((part) => part.type === 'source-url' && /^https?:/i.test(part.url));
  const content = parts.filter((part) => /^(text|reasoning|file|dynamic-tool|tool-.*|data-task)$/.test(part.type));
  const firstThought = parts.find((part) => part.type === 'reasoning');
  const end = isStreaming ? '' : ENDS[facts.outcome] ?? '';
  const isStopped = !isStreaming && !facts.outcome && !facts.error;
  return (
    <>
      {isStreaming && content.length === 0 && <Waiting on={waiting} />}
      {content.map((part, index) => (
        <Part key={index} part={part} facts={facts} isFirstThought={part === firstThought}
          isGoingOn={isStreaming && index === content.length - 1} />
      ))}
      {sources.length > 0 && <Sources pages={sources} />}
      {end && <p className="end-note" role="note">{end}</p>}
      {isStopped && <p className="end-note" role="note">Stopped before its end.</p>}
      {facts.error && !isStreaming && <Trouble error={facts.error} />}
      {!isStreaming && (
        <p className="actions">
          <Copy text={textOf(message)} />
          {!isBusy && (
            <button type="button" className="quiet again" onClick={() => handlers.again(message)}>
              {facts.error || isStopped ? 'Try again' : 'Regenerate'}
            </button>
          )}
          <small>{[facts.model, facts.usage?.totalTokens && `${facts.usage.totalTokens} tokens`].filter(Boolean).join(' · ')}</small>
        </p>
      )}
    </>
  );
}

function Waiting({ on }) {
  const text = on?.state === 'queued'
    ? `Waiting for a slot${on.before ? `, ${on.before} before you` : ', you are next'}…`
    : 'Waiting for the model…';
  return <p className="waiting" role="status">{text}</p>;
}

function Part({ part, facts, isFirstThought, isGoingOn }) {
  if (part.type === 'text') return <Markdown text={part.text} isStreaming={isGoingOn} />;
  if (part.type === 'reasoning') return <Thinking text={part.text} facts={facts} isFirst={isFirstThought} isGoingOn={isGoingOn} />;
  if (part.type === 'file') return <Media part={part} />;
  if (part.type === 'data-task') return <Task task={part.data} isGoingOn={isGoingOn} />;
  return <Tool part={part} />;
}

function Thinking({ text, facts, isFirst, isGoingOn }) {
  const [chosen, setChosen] = useState(null);
  const now = useNow(isGoingOn);
  const isOpen = chosen ?? isGoingOn;
  const took = isGoingOn ? now - (facts.thinkingSince ?? now) : facts.thinkingMs;
  const label = isGoingOn ? 'Thinking' : 'Thought';
  return (
    <section className="thinking">
      <button type="button" className="quiet" aria-expanded={isOpen} onClick={() => setChosen(!isOpen)}>
        {isOpen ? '▾' : '▸'} {label}{took !== undefined && (isGoingOn || isFirst) && ` for ${seconds(took)}`}
      </button>
      {isOpen && <Markdown text={text} isStreaming={isGoingOn} />}
    </section>
  );
}

function Tool({ part }) {
  const name = part.toolName ?? part.type.replace('tool-', '');
  const says = { 'input-streaming': 'being asked for', 'input-available': 'running', 'output-available': 'done', 'output-error': 'failed' };
  const show = (value) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value, null, 2) ?? '';
    return text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}\n… ${text.length - MOST_SHOWN} more characters` : text;
  };
  return (
    <details className="tool">
      <summary>Tool <code>{name}</code> · {says[part.state] ?? part.state}</summary>
      <pre tabIndex={0} aria-label="Arguments">{show(part.input ?? part.rawInput ?? {})}</pre>
      {part.state === 'output-available' && <pre tabIndex={0} aria-label="Result">{show(part.output)}</pre>}
      {part.errorText && <p className="trouble">{part.errorText}</p>}
    </details>
  );
}

function Sources({ pages }) {
  return (
    <details className="sources">
      <summary>{pages.length} source{pages.length === 1 ? '' : 's'}</summary>
      <ol>
        {pages.map((page) => (
          <li key={page.sourceId}>
            <a href={page.url} target="_blank" rel="noopener noreferrer nofollow">{page.title || page.url}</a>
          </li>
        ))}
      </ol>
    </details>
  );
}

function Task({ task, isGoingOn }) {
  const [begun] = useState(Date.now);
  const now = useNow(isGoingOn);
  if (!isGoingOn) return null;
  return (
    <p className="task" role="status">
      <progress aria-label={`Making the ${task.kind}`} /> Making the {task.kind}: {task.state}, {seconds(now - begun)}
    </p>
  );
}

function Media({ part }) {
  const isOurs = /^(data:(image|video|audio)\/|blob:|api\/media\/)/.test(part.url);
  const name = part.filename ?? (part.mediaType?.startsWith('video') ? 'The video' : 'The picture');
  if (!isOurs) return <p className="trouble">{name} cannot be shown.</p>;
  const kind = part.mediaType?.split('/')[0];
  if (kind === 'audio') return <audio src={part.url} controls aria-label={name} />;
  return (
    <figure className="media">
      {kind === 'video' ? <video src={part.url} controls aria-label={name} /> : <img src={part.url} alt={name} />}
      <figcaption><a href={part.url} download={part.filename ?? (kind === 'video' ? 'video' : 'picture')}>Save</a></figcaption>
    </figure>
  );
}

function Trouble({ error }) {
  return (
    <p className="trouble" role="alert">
      {error.message}
      {error.requestId && !error.message.includes(error.requestId) && <small> Request {error.requestId}</small>}
    </p>
  );
}

function Copy({ text }) {
  const [isDone, setDone] = useState(false);
  if (!text) return null;
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return <button type="button" className="quiet copy-all" onClick={copy}>{isDone ? 'Copied' : 'Copy'}</button>;
}
