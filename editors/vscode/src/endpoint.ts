/** Go to Inference Endpoint: its chat page in the browser, and the key that the page asks for. */
import * as vscode from 'vscode';
import type { Remora } from './remora';

const TITLE = 'Go to Inference Endpoint';

export async function open(remora: Remora, folder: vscode.Uri): Promise<void> {
  try {
    const { url } = await remora.look('open', ['open', '--print'], folder);
    await vscode.env.openExternal(vscode.Uri.parse(url, true));
    const chosen = await vscode.window.showInformationMessage('The chat page asks for the API key.', 'Copy API key');
    if (chosen === undefined) return;
    const { api_key: key } = await remora.look('secrets', ['secrets'], folder);
    await vscode.env.clipboard.writeText(key);
    vscode.window.setStatusBarMessage('$(check) API key copied', 5000);
  } catch (error) {
    remora.explain(error, TITLE, folder);
  }
}
