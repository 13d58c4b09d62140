import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'

const toolDeadlineMs = 120_000

export interface ToolResult {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a system tool to its end; its exit status is the caller's to judge. */
export function tryTool(command: string, ...args: readonly string[]): Promise<ToolResult> {
  const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C' }
  return new Promise((resolve, reject) => {
    execFile(
      command,
      args,
      { env, timeout: toolDeadlineMs, maxBuffer: 64 << 20 },
      (error, stdout, stderr) => {
        const status = error === null ? 0 : error.code
        if (typeof status === 'number') resolve({ status, stdout, stderr })
        else reject(new Error(`${command} did not end by itself: ${error?.message ?? ''}`))
      },
    )
  })
}

/** Runs a system tool that must succeed; returns what it printed. */
export async function runTool(command: string, ...args: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await tryTool(command, ...args)
  if (status !== 0) {
    throw new Error(`${command} ${args.join(' ')} exited with ${status}\n${stdout}${stderr}`)
  }
  return stdout
}

export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}
