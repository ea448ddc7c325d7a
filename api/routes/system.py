"""`/v1/system`: what waits and what runs; `/v1/doctor`: what protects the installation."""

from api.deps import Admin, CallerDep, ReaderDep
from api.routing import Router
from api.schemas.system import DoctorObject, EngineObject, SystemObject, WaitingJob
from services.platform.settings import get_settings
from services.upkeep import doctor, health, system

router = Router(prefix="/v1", tags=["administration"])


@router.get("/system", summary="What waits, and which engines run")
def retrieve(session: ReaderDep, caller: CallerDep) -> SystemObject:
    """Return your jobs that wait, each with its place and what it waits for; the engines that serve
    your models; and what is wrong with the stack.
    """
    waiting, count = system.waiting(session, caller)
    return SystemObject(
        degraded=health.degraded(),
        waiting=[WaitingJob.from_waiting(each) for each in waiting],
        waiting_count=count,
        engines=[EngineObject.from_running(each) for each in system.engines(session, caller)],
    )


@router.get("/doctor", summary="What protects this installation, and what does not")
def examine(caller: Admin) -> DoctorObject:
    """Return the checks of `oddsmith doctor` that concern the machine of the API, its user and its
    settings; for administrators of the organisation that runs the installation.
    """
    caller.require_operator()
    return DoctorObject.from_findings([*doctor.of_machine(get_settings().var.absolute())])
