import { useEffect, useRef, useState } from 'react';
import { asPart } from './files.js';
import { Icon } from './icons.jsx';
import { record, transcribe } from './speech.js';

const MODES = { chat: 'Chat', image: 'Image', video: 'Video' };
const MOST_BYTES = 10 * 2 ** 20;

export function Composer({ settings, change, models, isBusy, onSend, onStop, onEditLast }) {
  const [text, setText] = useState('');
  const [files, setFiles] = useState([]);
  const [trouble, setTrouble] = useState('');
  const [isHearing, setHearing] = useState(false);
  const [isDragging, setDragging] = useState(false);
  const stopRecording = useRef(null);
  const field = useRef(null);
  const picker = useRef(null);

  useEffect(() => {
    field.current.focus();
    // A file may be dropped anywhere.
    const over = (event) => {
      event.preventDefault();
      setDragging(event.type === 'dragover');
      if (event.type === 'drop') take([...event.dataTransfer.files]);
    };
    const kinds = ['dragover', 'dragleave', 'drop'];
    kinds.forEach((kind) => addEventListener(kind, over));
    return () => kinds.forEach((kind) => removeEventListener(kind, over));
  }, []);

  async function hear(sound) {
    setHearing(true);
    setTrouble('');
    try {
      await transcribe(sound, (piece) => setText((old) => old + piece));
    } catch (error) {
      setTrouble(error.message || 'The sound cannot be written down.');
    }
    setHearing(false);
    field.current?.focus();
  }

  async function take(given) {
    setTrouble('');
    for (const file of given) {
      if (file.type.startsWith('audio/')) await hear(file);
      else if (!file.type.startsWith('image/')) setTrouble(`${file.name} is neither a picture nor a sound.`);
      else if (file.size > MOST_BYTES) setTrouble(`${file.name} is larger than 10 MB.`);
      else {
        const part = await asPart(file);
        setFiles((old) => [...old, part]);
      }
    }
  }

  async function speak() {
    if (stopRecording.current) {
      const finish = stopRecording.current;
      stopRecording.current = null;
      setHearing(false);
      await hear(await finish());
      return;
    }
    try {
      stopRecording.current = await record();
      setHearing(true);
    } catch {
      setTrouble('There is no microphone, or it may not be used.');
    }
  }

  function submit(event) {
    event?.preventDefault();
    if (isBusy || !(text.trim() || files.length)) return;
    onSend(text, files);
    setText('');
    setFiles([]);
  }

  function pressed(event) {
    if (event.key === 'Enter' && !event.shiftKey && !event.nativeEvent.isComposing) submit(event);
    if (event.key === 'ArrowUp' && !text) onEditLast();
  }

  const model = settings.model || models.model;
  const known = models.models.some((each) => each.id === model) ? models.models : [{ id: model }, ...models.models];
  const switches = files.length > 0 && settings.mode === 'chat' && !models.models.find((each) => each.id === model)?.sees;
  return (
    <form className={`composer ${isDragging ? 'dragging' : ''}`} onSubmit={submit} aria-label="Question">
      {trouble && <p className="trouble" role="alert">{trouble}</p>}
      {switches && <p className="notice" role="status">{models.visionModel} will look at the picture.</p>}
      {files.length > 0 && (
        <ul className="files" aria-label="Pictures">
          {files.map((file, index) => (
            <li key={index}>
              <img src={file.url} alt={file.filename || 'Picture'} />
              <button type="button" aria-label={`Remove ${file.filename || 'the picture'}`} onClick={() => setFiles(files.filter((each) => each !== file))}><Icon name="close" /></button>
            </li>
          ))}
        </ul>
      )}
      <textarea id="prompt" ref={field} value={text} rows={1} aria-label="Question"
        placeholder={settings.mode === 'chat' ? 'Ask anything' : `What is the ${settings.mode} to show?`}
        onChange={(event) => setText(event.target.value)} onKeyDown={pressed}
        onPaste={(event) => event.clipboardData.files.length && (event.preventDefault(), take([...event.clipboardData.files]))} />
      <div className="tools">
        <button type="button" className="quiet" aria-label="Add a picture or a sound" title="Add a picture or a sound" onClick={() => picker.current.click()}><Icon name="attach" /></button>
        <input ref={picker} type="file" accept="image/*,audio/*" multiple hidden aria-label="Pictures and sounds"
          onChange={(event) => { take([...event.target.files]); event.target.value = ''; }} />
        <button type="button" className="quiet" aria-pressed={Boolean(stopRecording.current)} aria-label={stopRecording.current ? 'End the recording' : 'Speak'} title="Speak"
          disabled={isHearing && !stopRecording.current} onClick={speak}><Icon name={stopRecording.current ? 'record' : 'speak'} /></button>
        <select aria-label="What to make" value={settings.mode} onChange={(event) => change({ mode: event.target.value })}>
          {Object.entries(MODES).map(([mode, name]) => <option key={mode} value={mode}>{name}</option>)}
        </select>
        {settings.mode === 'chat' && (
          <>
            <select aria-label="Model" className="model" value={model} onChange={(event) => change({ model: event.target.value })}>
              {known.map((each) => <option key={each.id} value={each.id}>{each.id}</option>)}
            </select>
            <button type="button" className="toggle" aria-pressed={settings.thinking} onClick={() => change({ thinking: !settings.thinking })}>Think</button>
            <button type="button" className="toggle" aria-pressed={settings.web} onClick={() => change({ web: !settings.web })}>Web</button>
          </>
        )}
        <span className="space" />
        {isHearing && <small role="status">{stopRecording.current ? 'Recording…' : 'Listening…'}</small>}
        {isBusy
          ? <button type="button" className="send" aria-label="Stop" title="Stop (Esc)" onClick={onStop}><Icon name="stop" /></button>
          : <button type="submit" className="send" aria-label="Send" title="Send (Enter)" disabled={!(text.trim() || files.length)}><Icon name="send" /></button>}
      </div>
    </form>
  );
}
