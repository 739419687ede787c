<#
.SYNOPSIS
Installs the SegRelay agent on a Windows computer: Python environment, settings, checks, service.

.DESCRIPTION
Run it in a PowerShell that was opened with "Run as administrator", from the folder of the repository:

    powershell -ExecutionPolicy Bypass -File infra\windows\install.ps1 -TorchIndex <CUDA index>

It can be run again: the environment is brought up to date, settings that exist are kept. It stops at
the first thing that is wrong, with what to do. The password of Orthanc is asked for by lab-agent setup
and never on the command line.

.PARAMETER TorchIndex
Address of the package index with torch for this computer's CUDA, as the start page of PyTorch names it
for Windows and pip ("--index-url ..."). Without it, with -Cpu only, torch comes from the usual index.

.PARAMETER Cpu
This computer has no GPU, and that is meant. Without it, a GPU that torch does not see is an error.

.PARAMETER Program
Where the Python environment goes; only administrators may write there.

.PARAMETER Data
Settings, secrets and work folder; only administrators and the service's account may look into it.

.PARAMETER Account
Account of the service. The default is one that Windows makes for it alone, without a password. For a
named one, Windows asks for the password; then run lab-agent setup as that account, see lab_side/README.md.

.PARAMETER TaskScheduler
Start the agent by the Task Scheduler instead of as a service, as the user who runs this.

.PARAMETER Python
The interpreter from which the environment is made: 3.11, 3.12 or 3.13, 64 bits.
#>
[CmdletBinding()]
param(
    [string] $TorchIndex = '',
    [switch] $Cpu,
    [string] $Program = (Join-Path $env:ProgramFiles 'SegRelay'),
    [string] $Data = (Join-Path $env:ProgramData 'SegRelay'),
    [string] $Account = 'NT SERVICE\segrelay-agent',
    [switch] $TaskScheduler,
    [string] $Python = 'python'
)

Set-StrictMode -Version 3.0
$ErrorActionPreference = 'Stop'

$Name = 'segrelay-agent'
# By number: the names of these accounts are translated.
$System = '*S-1-5-18'
$Administrators = '*S-1-5-32-544'

function Stop-With([string] $Problem, [string] $Remedy) {
    Write-Host "error: $Problem" -ForegroundColor Red
    Write-Host "remedy: $Remedy"
    exit 78
}

# Run a program, and stop where it fails; PowerShell itself goes on.
function Invoke-Checked([string] $What, [string] $File, [string[]] $Arguments) {
    Write-Host "== $What"
    & $File @Arguments
    if ($LASTEXITCODE -ne 0) {
        Stop-With "$What ended with exit code $LASTEXITCODE." 'Mend what it says above, and run this again.'
    }
}

function Assert-Administrator {
    $identity = [Security.Principal.WindowsPrincipal] [Security.Principal.WindowsIdentity]::GetCurrent()
    if (-not $identity.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
        Stop-With 'Only an administrator can install the agent.' `
            'Open PowerShell with "Run as administrator", and run this again.'
    }
}

function Assert-Python {
    if (-not (Get-Command $Python -ErrorAction SilentlyContinue)) {
        Stop-With "There is no $Python here." 'Install Python 3.13 for all users, or give -Python.'
    }
    & $Python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) or sys.maxsize < 2**32)'
    if ($LASTEXITCODE -ne 0) {
        Stop-With "$Python is not 3.11, 3.12 or 3.13 of 64 bits." 'Install Python 3.13, or give -Python.'
    }
}

# For administrators and the system only; lab-agent service install adds the service's account.
function New-ClosedFolder([string] $Folder) {
    New-Item -ItemType Directory -Force -Path $Folder | Out-Null
    Invoke-Checked "rights of $Folder" 'icacls.exe' @(
        $Folder, '/inheritance:r', '/grant:r', "${System}:(OI)(CI)F", "${Administrators}:(OI)(CI)F"
    )
}

function Install-Environment([string] $Environment) {
    $interpreter = Join-Path $Environment 'Scripts\python.exe'
    if (-not (Test-Path $interpreter)) {
        Invoke-Checked 'Python environment' $Python @('-m', 'venv', $Environment)
    }
    # torch first: what asks for it afterwards keeps this one.
    $torch = @('-m', 'pip', 'install', '--upgrade', 'torch')
    if ($TorchIndex) { $torch += @('--index-url', $TorchIndex) }
    Invoke-Checked 'torch' $interpreter $torch
    $repository = Split-Path -Parent (Split-Path -Parent $PSScriptRoot)
    Invoke-Checked 'SegRelay' $interpreter @('-m', 'pip', 'install', '--upgrade', "${repository}[lab,redis]")
    # The service's account may run it, and nobody but administrators change it.
    Invoke-Checked 'rights of the program' 'icacls.exe' @(
        $Environment, '/inheritance:r', '/grant:r',
        "${System}:(OI)(CI)F", "${Administrators}:(OI)(CI)F", '*S-1-5-32-545:(OI)(CI)RX'
    )
}

function Register-AgentTask([string] $Agent, [string] $Config) {
    $action = New-ScheduledTaskAction -Execute $Agent -Argument "--config `"$Config`" run"
    $trigger = New-ScheduledTaskTrigger -AtStartup
    $settings = New-ScheduledTaskSettingsSet -RestartCount 999 -RestartInterval (New-TimeSpan -Minutes 1) `
        -ExecutionTimeLimit (New-TimeSpan -Seconds 0) -AllowStartIfOnBatteries -DontStopIfGoingOnBatteries
    # S4U: also while nobody is signed in, without a stored password; mapped drives are not there then.
    $principal = New-ScheduledTaskPrincipal -UserId ([Environment]::UserName) -LogonType S4U
    Register-ScheduledTask -TaskName $Name -Action $action -Trigger $trigger -Settings $settings `
        -Principal $principal -Force | Out-Null
    Start-ScheduledTask -TaskName $Name
}

Assert-Administrator
Assert-Python
if (-not $TorchIndex -and -not $Cpu) {
    Stop-With 'Neither -TorchIndex nor -Cpu is given.' `
        'Give the index of torch for this CUDA (see Get-Help), or -Cpu where no GPU is meant.'
}
$environment = Join-Path $Program 'environment'
$agent = Join-Path $environment 'Scripts\lab-agent.exe'
$config = Join-Path $Data 'agent.toml'
New-ClosedFolder $Program
New-ClosedFolder $Data
Install-Environment $environment
if (-not (Test-Path $config)) {
    $device = if ($Cpu) { 'cpu' } else { 'cuda' }
    Invoke-Checked 'settings' $agent @(
        '--config', $config, 'setup', '--device', $device, '--secrets', 'file',
        '--work-dir', (Join-Path $Data 'work')
    )
}
# With device = "cuda", a GPU that torch does not see is a failure, and nothing is installed.
Invoke-Checked 'doctor' $agent @('--config', $config, 'doctor')
if ($TaskScheduler) {
    Register-AgentTask $agent $config
}
else {
    Invoke-Checked 'service' $agent @('--config', $config, 'service', 'install', '--user', $Account)
    Invoke-Checked 'start' $agent @('service', 'start')
}
Write-Host "Installed. What the agent does now: `"$agent`" --config `"$config`" status"
