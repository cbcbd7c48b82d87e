/**
 * Add Azure Container Apps secret for inference. The value goes to the command line through its stdin, and into VS
 * Code's secret storage, so that it need not be typed again for the next project; never into a setting.
 */
import * as vscode from 'vscode';
import type { Remora } from './remora';

const TITLE = 'Add Azure Container Apps secret for inference';

export async function addSecret(remora: Remora, folder: vscode.Uri, kept: vscode.SecretStorage): Promise<void> {
  const name = await vscode.window.showInputBox({
    title: TITLE, prompt: 'Name of the environment variable', value: 'HF_TOKEN', ignoreFocusOut: true,
  });
  if (!name) return;
  const value = await valueOf(name, kept);
  if (!value) return;
  const done = await remora.show('secrets.set', TITLE, ['secrets', '--set', name], folder, () => Promise.resolve(value));
  if (!done) return;
  await kept.store(key(name), value);
  const chosen = await vscode.window.showInformationMessage(`${done.app} keeps ${done.variable}; the next deploy uses it.`, 'Deploy for inference');
  if (chosen !== undefined) await vscode.commands.executeCommand('remora.deploy');
}

async function valueOf(name: string, kept: vscode.SecretStorage): Promise<string | undefined> {
  const known = await kept.get(key(name));
  if (known !== undefined) {
    const use = 'Use the value kept on this machine';
    const chosen = await vscode.window.showQuickPick([use, 'Enter another value'], { title: TITLE, ignoreFocusOut: true });
    if (chosen === undefined || chosen === use) return chosen && known;
  }
  return vscode.window.showInputBox({ title: TITLE, prompt: `Value of ${name}`, password: true, ignoreFocusOut: true });
}

function key(name: string): string {
  return `secret.${name}`;
}
