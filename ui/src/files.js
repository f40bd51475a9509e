// Pictures in, and what was made out, as data URLs: they stay with their conversation.

export const dataUrl = (blob) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });

export const asPart = async (file) => ({ type: 'file', mediaType: file.type, filename: file.name, url: await dataUrl(file) });

/** Return messages in which the files of this server are kept whole; it forgets them at its end. */
export async function keepFiles(messages) {
  const kept = [];
  for (const message of messages) {
    const parts = [];
    for (const part of message.parts) {
      if (part.type !== 'file' || !part.url.startsWith('api/media/')) {
        parts.push(part);
        continue;
      }
      const response = await fetch(part.url);
      parts.push(response.ok ? { ...part, url: await dataUrl(await response.blob()) } : part);
    }
    kept.push(parts.every((part, index) => part === message.parts[index]) ? message : { ...message, parts });
  }
  return kept;
}

export function download(name, content, type) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
