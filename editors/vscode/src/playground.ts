/**
 * The hand-over to AI Toolkit's playground: the endpoint's models as its remote models.
 * AI Toolkit keeps URL and header in the user's settings, so the user is asked first.
 */
import * as vscode from 'vscode';
import type { Remora } from './remora';

const TITLE = 'Add the inference endpoint to the playground';
const SECTION = 'windowsaistudio';
const KEY = 'remoteInfereneEndpoints'; // spelt so by AI Toolkit

/** An entry as AI Toolkit writes it. */
interface RemoteModel {
  readonly name: string;
  readonly chatCompletionUrl: string;
  readonly headers: Readonly<Record<string, string>>;
}

export async function addToPlayground(remora: Remora, folder: vscode.Uri): Promise<void> {
  const settings = vscode.workspace.getConfiguration(SECTION);
  const known = settings.inspect<RemoteModel[]>(KEY);
  if (known?.defaultValue === undefined) { // a setting that nobody declares has no default, and cannot be written
    void vscode.window.showErrorMessage('The AI Toolkit extension is not installed: there is no playground to add the endpoint to.');
    return;
  }
  try {
    const status = await remora.look('status', ['status'], folder);
    const models = await vscode.window.showQuickPick(status.models.map((model) => model.id), { title: TITLE, canPickMany: true, ignoreFocusOut: true });
    if (!models?.length || !(await agreed())) return;
    const { api_key: key } = await remora.look('secrets', ['secrets'], folder);
    const url = `${status.endpoint}/chat/completions`;
    const added = models.map((name): RemoteModel => ({ name, chatCompletionUrl: url, headers: { Authorization: `Bearer ${key}` } }));
    const kept = (known.globalValue ?? []).filter((entry) => !models.includes(entry.name));
    await settings.update(KEY, [...kept, ...added], vscode.ConfigurationTarget.Global);
    void vscode.window.showInformationMessage(`The playground has ${models.join(', ')} now.`);
  } catch (error) {
    remora.explain(error, TITLE, folder);
  }
}

async function agreed(): Promise<boolean> {
  const detail = 'AI Toolkit keeps the URL and the API key as plain text in your user settings.';
  return (await vscode.window.showWarningMessage('Let AI Toolkit keep the key?', { modal: true, detail }, 'Add')) === 'Add';
}
