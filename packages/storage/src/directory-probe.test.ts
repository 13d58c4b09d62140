import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Fault } from '@blockferry/runtime'
import { describe, expect, onTestFinished, test } from 'vitest'
import { lockDirectory } from './directory-lock.ts'
import { probeDirectory } from './directory-probe.ts'
import { explainError } from './explain-error.ts'

function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), 'blockferry-probe-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

describe('a state directory that is probed', () => {
  test('is made when it is missing, and left empty but for its lock file', async () => {
    const directory = join(scratch(), 'state')
    await probeDirectory(directory)
    expect(readdirSync(directory)).toEqual(['lock'])
    await probeDirectory(directory)
    await using lock = await lockDirectory(directory)
    expect(lock.directory).toBe(directory)
  })

  test('that somebody holds is refused, and names the holder', async () => {
    const directory = scratch()
    await using lock = await lockDirectory(directory)
    await expect(probeDirectory(lock.directory)).rejects.toMatchObject({
      code: 'STATE_LOCKED',
      message: expect.stringContaining(String(process.pid)),
    })
  })

  test('that was last held on another host is refused with that host’s name', async () => {
    const directory = scratch()
    await using held = await lockDirectory(directory)
    writeFileSync(join(held.directory, 'lock'), '1 3f2a77c01d9e\n')
    await expect(probeDirectory(directory)).rejects.toMatchObject({
      message: `${directory} is in use by process 1 on host 3f2a77c01d9e`,
    })
  })
})

test('what the kernel refuses keeps its code and gets a next command with the path and our ids', () => {
  const refused = Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES' })
  const fault = explainError(refused, '/state')
  expect(fault).toBeInstanceOf(Fault)
  expect(fault).toMatchObject({ code: 'EACCES', cause: refused })
  const ids = `${process.getuid?.()}:${process.getgid?.()}`
  expect((fault as Fault).nextCommand).toContain(`chown -R ${ids} /state`)
  const other = new Error('something else')
  expect(explainError(other, '/state')).toBe(other)
})
