"""Sets the behaviour of the simulated bank: `python -m services.bank.admin decline --user 1 --times 2`.

BANK_ADDR is its address. `make bank-decline` and the others use that of their folder's platform.
"""

import argparse
import sys

import grpc

from services.chassis.env import process_environment
from services.pb import bank_pb2 as pb
from services.pb import bank_pb2_grpc

BEHAVIOURS = {
    "approve": pb.APPROVE,
    "decline": pb.DECLINE,
    "hang": pb.HANG,
    "drop": pb.CHARGE_AND_DROP,
    "reset": pb.BEHAVIOUR_UNSPECIFIED,
}


def main() -> int:
    """Send one instruction, and return the exit code."""
    parser = argparse.ArgumentParser(prog="bank", description="Sets the behaviour of the simulated bank.")
    parser.add_argument("behaviour", choices=BEHAVIOURS)
    whom = parser.add_mutually_exclusive_group()
    whom.add_argument(
        "--user", type=int, help="the charges of this user; without it and --checkout, those of everybody"
    )
    whom.add_argument("--checkout", help="the charge of this checkout")
    parser.add_argument("--times", type=int, default=0, help="for how many charges; 0 means until the next instruction")
    given = parser.parse_args()
    if given.times < 0 or (given.user is not None and given.user < 1):
        parser.error("--user must be positive, --times must not be negative")
    address = process_environment().get("BANK_ADDR")
    if not address:
        parser.error("BANK_ADDR is not set: say where the bank listens, as BANK_ADDR=127.0.0.1:50058")
    request = pb.SetBehaviourRequest(behaviour=BEHAVIOURS[given.behaviour], times=given.times)
    if given.user:
        request.user_id = given.user
    elif given.checkout:
        request.checkout_id = given.checkout
    else:
        request.everyone = True
    try:
        with grpc.insecure_channel(address) as channel:
            bank_pb2_grpc.BankAdminStub(channel).SetBehaviour(request, timeout=5)
    except grpc.RpcError as error:
        details = error.details() if isinstance(error, grpc.Call) else error
        sys.stderr.write(f"the bank at {address} did not accept it: {details}\n")
        return 1
    whose = f"user {given.user}" if given.user else f"checkout {given.checkout}" if given.checkout else "everybody"
    times = f", {given.times} times" if given.times else ""
    sys.stdout.write(f"the bank's behaviour for {whose}: {given.behaviour}{times}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
