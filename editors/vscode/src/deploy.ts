/** Deploy for inference: ends in a notification that leads to the endpoint. */
import * as vscode from 'vscode';
import type { Remora } from './remora';

const BUTTONS: Readonly<Record<string, string>> = { 'Go to Inference Endpoint': 'remora.open', 'Show logs': 'remora.logs' };

export async function deploy(remora: Remora, folder: vscode.Uri): Promise<void> {
  remora.channel.show();
  const done = await remora.show('deploy', 'Deploy for inference', ['deploy'], folder);
  if (!done) return;
  const message = `${done.name} is ready: it answered at ${done.chat_page}`;
  const chosen = await vscode.window.showInformationMessage(message, ...Object.keys(BUTTONS));
  const command = chosen && BUTTONS[chosen];
  if (command) await vscode.commands.executeCommand(command);
}
